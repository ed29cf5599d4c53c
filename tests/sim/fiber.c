#include "sim/fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif

#ifdef FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
enum { STACK_SIZE = 1 << 20 };
#else
enum { STACK_SIZE = 256 << 10 };
#endif
enum { GUARD_SIZE = 4096, STACKS_KEPT_MAX = 64 };

struct fiber {
    void *stack_pointer; /* where it left off */
    char *memory;        /* guard page, then the stack */
    void (*run)(void *arg);
    void *arg;
    void *fake_stack; /* the sanitizer's */
};

static struct fiber *current;
static void *main_stack_pointer;
static char *stacks_kept[STACKS_KEPT_MAX];
static size_t stacks_kept_count;

/* Saves the callee-saved registers on this stack, its pointer in *save, and continues on `load`. */
void fiber_switch(void **save, void *load);

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl fiber_switch\n"
        ".type fiber_switch, @function\n"
        "fiber_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size fiber_switch, .-fiber_switch\n");

/* The frame that the first switch pops: six registers, then the entry as return address. At the
 * entry of a function the stack is 8 bytes off a multiple of 16. */
static void *first_frame(char *top, void (*entry)(void))
{
    void **frame = (void **)(void *)(top - 64);
    memset(frame, 0, 64);
    frame[6] = (void *)(uintptr_t)entry;
    return frame;
}
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl fiber_switch\n"
        ".type fiber_switch, %function\n"
        "fiber_switch:\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        ".size fiber_switch, .-fiber_switch\n");

static void *first_frame(char *top, void (*entry)(void))
{
    void **frame = (void **)(void *)(top - 160);
    memset(frame, 0, 160);
    frame[11] = (void *)(uintptr_t)entry; /* x30 */
    return frame;
}
#else
#error "the simulator's coroutines know x86-64 and arm64"
#endif

/* ---- what the sanitizer has to know ---- */

#ifdef FIBER_ASAN
static void *main_fake_stack;
static const void *main_bottom;
static size_t main_size;

static void leaving_main(struct fiber *to)
{
    __sanitizer_start_switch_fiber(&main_fake_stack, to->memory + GUARD_SIZE, STACK_SIZE);
}
static void back_in_main(void)
{
    __sanitizer_finish_switch_fiber(main_fake_stack, NULL, NULL);
}
static void leaving_fiber(struct fiber *from, int for_good)
{
    __sanitizer_start_switch_fiber(for_good ? NULL : &from->fake_stack, main_bottom, main_size);
}
static void in_fiber(struct fiber *fiber)
{
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &main_bottom, &main_size);
}
static void clean_stack(char *memory)
{
    __asan_unpoison_memory_region(memory + GUARD_SIZE, STACK_SIZE);
}
#else
static void leaving_main(struct fiber *to)
{
    (void)to;
}
static void back_in_main(void)
{
}
static void leaving_fiber(struct fiber *from, int for_good)
{
    (void)from, (void)for_good;
}
static void in_fiber(struct fiber *fiber)
{
    (void)fiber;
}
static void clean_stack(char *memory)
{
    (void)memory;
}
#endif

/* ---- life ---- */

static void die(const char *what)
{
    perror(what);
    abort();
}

static void enter(void)
{
    in_fiber(current);
    current->run(current->arg);
    fprintf(stderr, "fiber: it returned without fiber_finish\n");
    abort();
}

static char *stack_new(void)
{
    if (stacks_kept_count) return stacks_kept[--stacks_kept_count];
    char *memory = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) die("mmap of a stack");
    if (mprotect(memory, GUARD_SIZE, PROT_NONE) != 0) die("mprotect of a stack");
    return memory;
}

static void stack_free(char *memory)
{
    clean_stack(memory);
    if (stacks_kept_count < STACKS_KEPT_MAX)
        stacks_kept[stacks_kept_count++] = memory;
    else
        munmap(memory, GUARD_SIZE + STACK_SIZE);
}

struct fiber *fiber_new(void (*run)(void *arg), void *arg)
{
    struct fiber *fiber = calloc(1, sizeof *fiber);
    if (!fiber) die("calloc of a fiber");
    fiber->memory = stack_new();
    fiber->run = run;
    fiber->arg = arg;
    fiber->stack_pointer = first_frame(fiber->memory + GUARD_SIZE + STACK_SIZE, enter);
    return fiber;
}

void fiber_free(struct fiber *fiber)
{
    if (!fiber) return;
    stack_free(fiber->memory);
    free(fiber);
}

void fiber_resume(struct fiber *fiber)
{
    current = fiber;
    leaving_main(fiber);
    fiber_switch(&main_stack_pointer, fiber->stack_pointer);
    back_in_main();
    current = NULL;
}

void fiber_yield(void)
{
    struct fiber *self = current;
    leaving_fiber(self, 0);
    fiber_switch(&self->stack_pointer, main_stack_pointer);
    in_fiber(self);
}

void fiber_finish(void)
{
    leaving_fiber(current, 1);
    fiber_switch(&current->stack_pointer, main_stack_pointer);
    abort(); /* not reached */
}

void fiber_drop_stacks(void)
{
    while (stacks_kept_count) munmap(stacks_kept[--stacks_kept_count], GUARD_SIZE + STACK_SIZE);
}
