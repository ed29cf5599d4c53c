/* Arrow arrays with several owners: a batch that a result keeps may be handed out any number of
 * times, its buffers are never copied. Nothing here knows Python: owners let go from any thread. */
#include "ext.h"

#include <errno.h>
#include <stdlib.h>

struct share *share_new(struct ArrowArray *array)
{
    struct share *share = calloc(1, sizeof *share);
    if (share == NULL) {
        array->release(array);
        return NULL;
    }
    atomic_init(&share->refs, 1);
    ArrowArrayMove(array, &share->array);
    return share;
}

struct share *share_ref(struct share *share)
{
    atomic_fetch_add(&share->refs, 1);
    return share;
}

void share_unref(struct share *share)
{
    if (share == NULL || atomic_fetch_sub(&share->refs, 1) != 1) return;
    if (share->array.release != NULL) share->array.release(&share->array);
    free(share);
}

/* Every struct of an exported tree holds the share itself: an owner may move children out and
 * release them after their parent (C data interface, "Moving child arrays"). */
struct node {
    struct share *share;
    struct ArrowArray **pointers;
    struct ArrowArray *children; /* one more than n_children if there is a dictionary */
};

static void node_release(struct ArrowArray *array)
{
    struct node *node = array->private_data;
    for (int64_t i = 0; i < array->n_children; i++)
        if (array->children[i]->release != NULL) array->children[i]->release(array->children[i]);
    if (array->dictionary != NULL && array->dictionary->release != NULL) array->dictionary->release(array->dictionary);
    share_unref(node->share);
    free(node->pointers);
    free(node->children);
    free(node);
    array->release = NULL;
    array->private_data = NULL;
}

static int copy_tree(struct share *share, const struct ArrowArray *from, struct ArrowArray *out)
{
    size_t count = (size_t)from->n_children;
    struct node *node = calloc(1, sizeof *node);
    if (node == NULL) return ENOMEM;
    node->pointers = calloc(count + 1, sizeof *node->pointers);
    node->children = calloc(count + 1, sizeof *node->children);
    node->share = share_ref(share);
    *out = *from;
    out->n_children = 0; /* grows as the children come, so that a failure releases those */
    out->children = node->pointers;
    out->dictionary = NULL;
    out->private_data = node;
    out->release = node_release;
    int code = node->pointers == NULL || node->children == NULL ? ENOMEM : 0;
    for (size_t i = 0; i < count && code == 0; i++) {
        code = copy_tree(share, from->children[i], &node->children[i]);
        node->pointers[i] = &node->children[i];
        if (code == 0) out->n_children++;
    }
    if (code == 0 && from->dictionary != NULL) {
        code = copy_tree(share, from->dictionary, &node->children[count]);
        if (code == 0) out->dictionary = &node->children[count];
    }
    if (code != 0) out->release(out);
    return code;
}

int share_export(struct share *share, struct ArrowArray *out)
{
    return copy_tree(share, &share->array, out);
}

int empty_stream(const struct ArrowSchema *schema, struct ArrowArrayStream *out)
{
    struct ArrowSchema copy;
    int code = ArrowSchemaDeepCopy(schema, &copy);
    if (code != NANOARROW_OK) return code;
    code = ArrowBasicArrayStreamInit(out, &copy, 0);
    if (code != NANOARROW_OK) ArrowSchemaRelease(&copy);
    return code;
}
