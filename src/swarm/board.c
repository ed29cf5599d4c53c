#include "swarm/board.h"

#include "core/alloc.h"

enum { OBJECTS_MAX = 4 * AP_QUERY_TASKS_MAX };

void ap_board_done(struct ap_board *board)
{
    ap_free(board->tasks);
    for (size_t i = 0; i < board->result_count; i++) ap_free(board->results[i].key);
    ap_free(board->results);
    memset(board, 0, sizeof *board);
}

/* The key of an object that is of use becomes the board's. */
static enum apiary_code note_result(
    struct ap_board *board, const struct ap_query_name *name, struct ap_object *object, struct apiary_error *err)
{
    for (size_t i = 0; i < name->count; i++)
        if (name->tasks[i] >= board->task_count) return APIARY_OK; /* of no query of this size */
    size_t index = board->result_count;
    bool useful = false;
    for (size_t i = 0; i < name->count; i++) {
        struct ap_board_task *task = &board->tasks[name->tasks[i]];
        if (task->done) continue;
        task->done = useful = true;
        task->done_us = object->modified_us;
        task->result = index;
        board->done_count++;
    }
    if (!useful) return APIARY_OK;
    AP_TRY(AP_GROW(board->results, board->result_capacity, index + 1, err));
    board->results[board->result_count++] = (struct ap_board_result) { AP_TAKE(object->key), object->size };
    return APIARY_OK;
}

static enum apiary_code note(struct ap_board *board, struct ap_str below, struct ap_object *object, struct apiary_error *err)
{
    struct ap_query_name name;
    ap_query_name_parse(below, &name);
    if (object->modified_us > board->newest_us) board->newest_us = object->modified_us;
    struct ap_board_task *task = name.count > 0 && name.tasks[0] < board->task_count ? &board->tasks[name.tasks[0]] : NULL;
    switch (name.part) {
        case AP_PART_END:
            board->ended = true;
            board->ended_us = object->modified_us;
            break;
        case AP_PART_OUT:
            board->out = true;
            board->out_us = object->modified_us;
            break;
        case AP_PART_MANIFEST:
            board->manifest = true;
            board->manifest_us = object->modified_us;
            break;
        case AP_PART_CLAIM:
            if (task == NULL || name.number <= task->claims) break;
            task->claims = (uint8_t)name.number;
            task->claimed_us = object->modified_us;
            break;
        case AP_PART_FAILURE:
            if (task != NULL) task->failures |= UINT32_C(1) << name.number;
            break;
        case AP_PART_RESULT: return note_result(board, &name, object, err);
        case AP_PART_PAYLOAD:
        case AP_PART_OTHER: break;
    }
    return APIARY_OK;
}

enum apiary_code ap_board_look(
    struct ap_store *store, const char *id, size_t task_count, struct ap_board *out, struct apiary_error *err)
{
    AP_AUTO(ap_list) list = { 0 };
    AP_AUTO(ap_board) board = { .task_count = task_count, .mono_us = ap_mono_us(store->env) };
    struct ap_query_key prefix = ap_query_key(id, NULL);
    struct ap_list_request request = { .prefix = prefix.text, .limit = OBJECTS_MAX };
    AP_TRY(ap_store_list(store, &request, &list, err));
    if (list.more) return ap_fail(err, APIARY_LIMIT, "more than %d objects lie under query %s", OBJECTS_MAX, id);
    board.tasks = ap_calloc(task_count + 1, sizeof *board.tasks);
    if (board.tasks == NULL) return ap_fail_memory(err, "a query's board");
    board.now_us = list.now_us;
    board.objects = list.count;
    size_t length = strlen(prefix.text);
    for (size_t i = 0; i < list.count; i++) AP_TRY(note(&board, ap_str_from(list.objects[i].key + length), &list.objects[i], err));
    *out = AP_TAKE(board);
    return APIARY_OK;
}
