#include "cells/ahead.h"

#include "core/alloc.h"

#include <stdlib.h>

enum {
    COLUMNS_MAX = 2048,
    GROUPS_MAX = 1000000,
    GAP_PART = 40, /* gaps that are no small ones: to one part in so many of what was asked for */
    GAP_MOST = 8 << 20,
    WINDOW_GAPS = 24, /* the first window is as large: one that is full breaks up what would be one request */
    SPANS_MAX = 256,
    STEPS_MAX = 256, /* row groups that are planned at one read */
};
#define WINDOW_FIRST (UINT64_C(8) << 20)
#define WINDOW_MAX (UINT64_C(48) << 20)

/* Of a column in a row group. */
enum { UNTOUCHED, ASKED /* and not read yet */, READ };

/* Row groups are counted through the scan: that of its first cell is 0. */
struct column {
    struct ap_str name; /* lives in a footer */
    uint64_t first;     /* row group in which it was read first */
    uint64_t asked;     /* row groups up to this one were asked for, or read */
    uint64_t highest;   /* that was read */
    uint64_t read_count;   /* 0: the statement's text has its name, and the engine did not read it yet */
    uint64_t unread_count; /* row groups that are ASKED */
    uint64_t unread_bytes;
    uint8_t *state; /* of each row group */
    size_t state_capacity;
    bool stopped;
};

struct cell {
    struct ap_paged *paged;
    uint64_t base; /* number of its first row group; known for the first `based` cells */
};

struct ap_ahead {
    struct cell *cells;
    size_t count, capacity;
    size_t based;
    uint64_t group_total; /* of the based cells */
    struct column *columns;
    size_t column_count, column_capacity;
    uint64_t window, outstanding;
    uint64_t read_most; /* row groups of the column that was read most */
    bool looked;        /* at a chunk that is waited for, and at what is expected along with it */
    uint64_t gap_small;              /* between chunks that are asked for together */
    uint64_t asked_bytes, gap_bytes; /* asked for ahead, and between what was */
    const struct ap_texts *words;
};

enum apiary_code ap_ahead_new(const struct ap_texts *words, uint64_t gap_bytes,
    struct ap_ahead **out, struct apiary_error *err)
{
    struct ap_ahead *ahead = ap_calloc(1, sizeof *ahead);
    if (!ahead) return ap_fail_memory(err, "read-ahead");
    ahead->gap_small = gap_bytes < GAP_MOST ? gap_bytes : GAP_MOST;
    ahead->window = WINDOW_GAPS * ahead->gap_small;
    if (ahead->window < WINDOW_FIRST) ahead->window = WINDOW_FIRST;
    if (ahead->window > WINDOW_MAX) ahead->window = WINDOW_MAX;
    ahead->words = words;
    *out = ahead;
    return APIARY_OK;
}

void ap_ahead_free(struct ap_ahead *ahead)
{
    if (!ahead) return;
    for (size_t i = 0; i < ahead->column_count; i++) ap_free(ahead->columns[i].state);
    ap_free(ahead->columns);
    ap_free(ahead->cells);
    ap_free(ahead);
}

enum apiary_code ap_ahead_add(
    struct ap_ahead *ahead, struct ap_paged *paged, size_t *index, struct apiary_error *err)
{
    AP_TRY(AP_GROW(ahead->cells, ahead->capacity, ahead->count + 1, err));
    *index = ahead->count;
    ahead->cells[ahead->count++] = (struct cell) { .paged = paged };
    return APIARY_OK;
}

/* The cell of a row group and its number within. NULL: its footer is not known. */
static const struct cell *cell_of(const struct ap_ahead *ahead, uint64_t group, size_t *within)
{
    if (group >= ahead->group_total) return NULL;
    size_t low = 0, high = ahead->based;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (ahead->cells[middle].base <= group)
            low = middle;
        else
            high = middle;
    }
    *within = (size_t)(group - ahead->cells[low].base);
    return &ahead->cells[low];
}

static struct column *column_named(struct ap_ahead *ahead, struct ap_str name)
{
    for (size_t i = 0; i < ahead->column_count; i++)
        if (ap_str_equal(ahead->columns[i].name, name)) return &ahead->columns[i];
    if (ahead->column_count == COLUMNS_MAX ||
        AP_GROW(ahead->columns, ahead->column_capacity, ahead->column_count + 1, NULL) != APIARY_OK)
        return NULL;
    struct column *column = &ahead->columns[ahead->column_count++];
    *column = (struct column) { .name = name };
    return column;
}

/* Columns whose names stand in the statement's text are likely to be read: they are asked for along with
 * the first that is. */
static void expect_columns(struct ap_ahead *ahead, const struct ap_footer *footer)
{
    if (!ahead->words) return;
    for (size_t i = 0; i < footer->column_count; i++) {
        struct ap_str name = footer->columns[i];
        size_t dot = ap_str_find(name, AP_STR("."));
        struct ap_str top = { name.data, dot == SIZE_MAX ? name.size : dot };
        for (size_t j = 0; j < ahead->words->count; j++)
            if (ap_str_equal_nocase(top, ap_str_from(ahead->words->items[j]))) {
                (void)column_named(ahead, name);
                break;
            }
    }
}

/* Numbers the row groups of as many cells as have footers without a gap. */
static void number_groups(struct ap_ahead *ahead)
{
    for (; ahead->based < ahead->count; ahead->based++) {
        struct cell *cell = &ahead->cells[ahead->based];
        const struct ap_footer *footer = ap_paged_footer(cell->paged);
        if (!footer || ahead->group_total + footer->group_count > GROUPS_MAX) return;
        if (ahead->based == 0) expect_columns(ahead, footer);
        cell->base = ahead->group_total;
        ahead->group_total += footer->group_count;
    }
}

/* The index of a column in a footer; most often what it is in the others. */
static size_t index_of(const struct ap_footer *footer, struct ap_str name, size_t guess)
{
    if (guess < footer->column_count && ap_str_equal(footer->columns[guess], name)) return guess;
    for (size_t i = 0; i < footer->column_count; i++)
        if (ap_str_equal(footer->columns[i], name)) return i;
    return SIZE_MAX;
}

static bool overlaps(struct ap_footer_span span, uint64_t offset, uint64_t length)
{
    return span.length && span.offset < offset + length && span.offset + span.length > offset;
}

/* NULL without memory: nothing more is asked of the column. */
static uint8_t *state_of(struct column *column, uint64_t group)
{
    size_t known = column->state_capacity;
    if (AP_GROW(column->state, column->state_capacity, (size_t)group + 1, NULL) != APIARY_OK) {
        column->stopped = true;
        return NULL;
    }
    memset(column->state + known, UNTOUCHED, column->state_capacity - known);
    return &column->state[group];
}

/* What was asked for and will not be read takes no room in the window. */
static void stop(struct ap_ahead *ahead, struct column *column)
{
    column->stopped = true;
    ahead->outstanding -= column->unread_bytes;
    column->unread_bytes = 0;
}

static void note_asked(struct ap_ahead *ahead, struct column *column, uint8_t *state, uint64_t bytes)
{
    *state = ASKED;
    column->unread_count++;
    column->unread_bytes += bytes;
    ahead->outstanding += bytes;
}

/* A column that is expected was asked for in as many row groups as there are threads, and read of none:
 * until one of them reads it, or another column of more row groups, it is asked for only along with a chunk
 * that is waited for. In the second case it is left out. */
static bool is_open(const struct column *column, int threads)
{
    return !column->stopped && !column->read_count && column->unread_count >= (uint64_t)threads;
}

static void settle_open(struct ap_ahead *ahead, int threads)
{
    if (ahead->read_most <= (uint64_t)threads) return;
    for (size_t i = 0; i < ahead->column_count; i++)
        if (is_open(&ahead->columns[i], threads)) stop(ahead, &ahead->columns[i]);
}

/* Is it asked for in row groups to come? What is only expected is, once it was asked for with others. */
static bool goes_on(const struct column *column)
{
    return !column->stopped && (column->read_count || column->unread_count);
}

static void note_read(
    struct ap_ahead *ahead, struct column *column, uint64_t group, uint64_t bytes, int threads)
{
    uint8_t *state = state_of(column, group);
    if (!state || *state == READ) return;
    if (*state == ASKED) {
        uint64_t credit = bytes < column->unread_bytes ? bytes : column->unread_bytes;
        column->unread_count--;
        column->unread_bytes -= credit;
        ahead->outstanding -= credit;
        ahead->window += 2 * bytes;
        if (ahead->window > WINDOW_MAX) ahead->window = WINDOW_MAX;
    }
    *state = READ;
    if (column->read_count == 0) column->first = column->highest = group;
    if (group > column->asked) column->asked = group;
    if (group < column->first) return;
    column->read_count++;
    if (column->read_count > ahead->read_most) ahead->read_most = column->read_count;
    if (group > column->highest) column->highest = group;
    /* Some are still to come, from other threads; more than that are left out. */
    uint64_t left_out = column->highest - column->first + 1 - column->read_count;
    if (left_out > (uint64_t)threads) stop(ahead, column);
}

/* Notes every column of which bytes are read. */
static void note(struct ap_ahead *ahead, const struct cell *cell, const struct ap_footer *footer,
    uint64_t offset, uint64_t length, int threads)
{
    for (size_t group = 0; group < footer->group_count; group++)
        for (size_t i = 0; i < footer->column_count; i++) {
            const struct ap_footer_chunk *chunk = &footer->chunks[group * footer->column_count + i];
            if (!overlaps(chunk->data, offset, length)) continue;
            struct column *column = column_named(ahead, footer->columns[i]);
            if (column)
                note_read(ahead, column, cell->base + group, chunk->data.length, threads);
        }
}

static int by_offset(const void *a, const void *b)
{
    const struct ap_footer_span *left = a, *right = b;
    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* May what lies between two spans be moved with them? Small gaps may; larger ones while all of them
 * together are a small part of what was asked for. */
static bool bridges(struct ap_ahead *ahead, uint64_t gap)
{
    bool small = gap <= ahead->gap_small;
    if (!small && (ahead->gap_bytes + gap) * GAP_PART > ahead->asked_bytes) return false;
    ahead->gap_bytes += gap;
    return true;
}

/* Asks for spans, those that lie close together as one. The run that holds `needed` (length 0: none)
 * goes before what is fetched ahead: somebody waits for it. */
static void ask(struct ap_ahead *ahead, struct ap_paged *paged, struct ap_account *account,
    struct ap_footer_span *spans, size_t count, struct ap_footer_span needed)
{
    qsort(spans, count, sizeof *spans, by_offset);
    for (size_t i = 0; i < count; i++) ahead->asked_bytes += spans[i].length;
    for (size_t i = 0; i < count;) {
        uint64_t offset = spans[i].offset, end = offset + spans[i].length;
        for (i++; i < count; i++) {
            if (spans[i].offset > end && !bridges(ahead, spans[i].offset - end)) break;
            if (spans[i].offset + spans[i].length > end) end = spans[i].offset + spans[i].length;
        }
        bool waited = overlaps(needed, offset, end - offset);
        ap_paged_want(paged, account, offset, end - offset, !waited, (struct ap_page_wait) { 0 });
    }
}

/* Where the column's chunk of a row group lies, if it is to be asked for: nobody has, and what is only
 * expected takes a part of the window at most. *state: to be noted. */
static bool wants(struct ap_ahead *ahead, size_t column, const struct ap_footer *footer, uint64_t group,
    size_t within, struct ap_footer_span *span, uint8_t **state)
{
    const struct column *wanted = &ahead->columns[column];
    size_t at = index_of(footer, wanted->name, column);
    *state = state_of(&ahead->columns[column], group);
    if (at == SIZE_MAX || !*state || **state != UNTOUCHED) return false;
    *span = footer->chunks[within * footer->column_count + at].data;
    return span->length > 0 && (wanted->read_count || span->length <= ahead->window / 4);
}

/* Asks for the columns whose next row group is `group`. False: the window is full, there is no such row
 * group (yet), or it is open whether a column of it is read: it would be asked for by itself later. */
static bool ask_group(
    struct ap_ahead *ahead, struct ap_account *account, uint64_t group, int threads)
{
    struct ap_footer_span spans[SPANS_MAX];
    size_t count = 0, within = 0;
    const struct cell *cell = cell_of(ahead, group, &within);
    const struct ap_footer *footer = cell ? ap_paged_footer(cell->paged) : NULL;
    if (!footer || ahead->outstanding >= ahead->window) return false;
    for (size_t i = 0; i < ahead->column_count; i++)
        if (is_open(&ahead->columns[i], threads)) return false;
    for (size_t i = 0; i < ahead->column_count && count < SPANS_MAX; i++) {
        struct column *column = &ahead->columns[i];
        if (!goes_on(column) || column->asked + 1 != group) continue;
        uint8_t *state;
        column->asked = group;
        if (!wants(ahead, i, footer, group, within, &spans[count], &state)) continue;
        struct ap_footer_span span = spans[count++];
        note_asked(ahead, column, state, span.length);
    }
    if (count) ask(ahead, cell->paged, account, spans, count, (struct ap_footer_span) { 0 });
    return true;
}

/* The row group of the cell in whose chunks bytes lie; SIZE_MAX: none. *chunk: that they lie in. */
static size_t group_of(const struct ap_footer *footer, uint64_t offset, uint64_t length,
    struct ap_footer_span *chunk)
{
    size_t count = footer->group_count * footer->column_count;
    for (size_t i = 0; i < count; i++) {
        if (!overlaps(footer->chunks[i].data, offset, length)) continue;
        *chunk = footer->chunks[i].data;
        return i / footer->column_count;
    }
    return SIZE_MAX;
}

void ap_ahead_need(struct ap_ahead *ahead, struct ap_account *account, size_t index,
    uint64_t offset, uint64_t length, int threads)
{
    struct ap_footer_span spans[SPANS_MAX], needed = { 0 };
    size_t count = 0;
    number_groups(ahead);
    if (index >= ahead->based) return;
    const struct cell *cell = &ahead->cells[index];
    const struct ap_footer *footer = ap_paged_footer(cell->paged);
    size_t within = footer ? group_of(footer, offset, length, &needed) : SIZE_MAX;
    if (within == SIZE_MAX) return;
    ahead->looked = true;
    for (size_t i = 0; i < ahead->column_count && count + 1 < SPANS_MAX; i++) {
        struct column *column = &ahead->columns[i];
        if (column->stopped || ahead->outstanding >= ahead->window) continue;
        uint8_t *state;
        if (!wants(ahead, i, footer, cell->base + within, within, &spans[count], &state)) continue;
        struct ap_footer_span span = spans[count];
        if (span.offset == needed.offset) continue;
        /* An earlier statement may have read this row group and kept what it needed of it. */
        if (count++ == 0 && ap_paged_saved(cell->paged, offset)) return;
        note_asked(ahead, column, state, span.length);
        if (cell->base + within > column->asked) column->asked = cell->base + within;
    }
    if (count == 0) return;
    spans[count++] = needed;
    ask(ahead, cell->paged, account, spans, count, needed);
}

void ap_ahead_read(struct ap_ahead *ahead, struct ap_account *account, size_t index,
    uint64_t offset, uint64_t length, int threads)
{
    number_groups(ahead);
    if (index >= ahead->based) return;
    const struct cell *cell = &ahead->cells[index];
    const struct ap_footer *footer = ap_paged_footer(cell->paged);
    if (!footer) return;
    note(ahead, cell, footer, offset, length, threads);
    settle_open(ahead, threads);
    /* The first chunk may have been waited for before the footers that number its row group were known.
     * Its column alone, asked for everywhere, would part the others from it: the next one is soon. */
    if (ahead->words && !ahead->looked) return;
    for (int step = 0; step < STEPS_MAX; step++) {
        uint64_t next = UINT64_MAX;
        for (size_t i = 0; i < ahead->column_count; i++)
            if (goes_on(&ahead->columns[i]) && ahead->columns[i].asked + 1 < next)
                next = ahead->columns[i].asked + 1;
        if (next == UINT64_MAX || !ask_group(ahead, account, next, threads)) return;
    }
}
