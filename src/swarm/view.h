/* The world view: one LIST of _swarm/ tells who is there and which queries are announced. Age is
 * counted by the store's clock; nobody's wall clock matters.
 *
 * Who looks again and again keeps a watch: it also remembers, on its own monotonic clock, when it
 * saw a node's object change, so that a store whose clock jumps kills nobody, and it does not judge
 * by an answer that it was late to read. */
#ifndef AP_SWARM_VIEW_H
#define AP_SWARM_VIEW_H

#include "core/map.h"
#include "swarm/beat.h"

enum ap_node_state { AP_NODE_ALIVE, AP_NODE_SUSPECT, AP_NODE_DEAD };
const char *ap_node_state_text(enum ap_node_state state); /* "alive", "suspect", "dead" */

#define AP_SWARM_PREFIX "_swarm/"
#define AP_SWARM_QUERIES "_swarm/queries/"
enum { AP_VIEW_OBJECTS_MAX = 20000, AP_NODE_FORGOTTEN_S = 3600 };

struct ap_view_node {
    struct ap_node_key key;
    char *object;      /* its key in the store */
    int64_t age_us;    /* since its last beat, at the time of the view */
    int64_t modified_us; /* of the last beat, by the store's clock */
    enum ap_node_state state;
    /* From the body, with ap_view_figures; zero without. */
    struct ap_node_figures figures;
    char *name; /* as the user gave it; NULL without */
    struct ap_texts tasks; /* "{query}/{task}": what it runs or has done and not published */
};
struct ap_view {
    struct ap_view_node *nodes; /* by label, then boot; one entry a boot */
    size_t count, capacity;
    struct ap_map places; /* boot → index into nodes, once the view is made */
    struct ap_texts queries; /* announced; checked names */
    struct ap_texts strays;  /* older objects of boots that have a newer one */
    int64_t now_us;          /* the store's clock */
    int64_t mono_us;         /* this reader's, before the LIST was asked for */
};
void ap_view_done(struct ap_view *view);
/* NULL: no such boot in it. */
const struct ap_view_node *ap_view_find(const struct ap_view *view, const char *boot);
bool ap_view_dead(const struct ap_view *view, const char *boot); /* dead, or gone */
/* The store's clock now, by the view's and this reader's monotonic clock since. */
int64_t ap_view_clock(const struct ap_view *view, struct ap_env *env);

/* Without a memory: suspect after 3 intervals without a beat (as the node declared them), dead after 6. Nodes that
 * gave no beat for AP_NODE_FORGOTTEN_S are left out. codes: those of ap_store_list, LIMIT, MEMORY */
AP_CHECKED enum apiary_code ap_view_look(struct ap_store *store, struct ap_view *out, struct apiary_error *err);
/* Reads the bodies of those who live, in one batch. A body that cannot be read leaves zeros. */
void ap_view_figures(struct ap_store *store, struct ap_view *view);
/* The same for one node; false when its body could not be read. */
bool ap_view_body(struct ap_store *store, struct ap_view_node *node);

/* A reader that looks again and again. One thread at a time. */
struct ap_watch;
AP_CHECKED enum apiary_code ap_watch_open(struct ap_env *env, struct ap_store *store, struct ap_watch **out, struct apiary_error *err);
void ap_watch_close(struct ap_watch *watch);
/* As ap_view_look; dead is only who also was not seen to change for 3 intervals, when this watch is
 * older than that. An answer that took longer than `patience_us` is asked for once more; late again,
 * it holds nobody for dead. */
AP_CHECKED enum apiary_code ap_watch_look(
    struct ap_watch *watch, int64_t patience_us, struct ap_view *out, struct apiary_error *err);

/* Removes the objects of nodes that are forgotten: those that fall to `boot` by hash among the
 * nodes that live, so that not everybody asks for the same. What fails is left for another time. */
void ap_view_sweep(struct ap_store *store, const struct ap_view *view, const char *boot, struct ap_log *log);

#endif
