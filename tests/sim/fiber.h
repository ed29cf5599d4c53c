/* Coroutines for the simulator: a stack each, switched by hand, so that a switch costs a few
 * nanoseconds and no system call. Sanitizers are told. Not thread-safe. */
#ifndef AP_TESTS_FIBER_H
#define AP_TESTS_FIBER_H

#include <stddef.h>

struct fiber;

/* `run` must not return before it called fiber_finish. Aborts without memory: it is a test. */
struct fiber *fiber_new(void (*run)(void *arg), void *arg);
/* Only of one that finished, or that never ran. */
void fiber_free(struct fiber *fiber);
/* From the main stack: runs the fiber until it yields or finishes. */
void fiber_resume(struct fiber *fiber);
/* From within a fiber: back to the main stack. */
void fiber_yield(void);
/* The same for good. */
__attribute__((noreturn)) void fiber_finish(void);
/* The stacks that were kept for reuse. */
void fiber_drop_stacks(void);

#endif
