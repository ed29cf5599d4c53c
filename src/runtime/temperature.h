/* The colony's temperature: one figure from 0 to 1 that says how loaded this machine is.
 *
 *   0.4 · cpu + 0.4 · memory + 0.2 · queue
 *
 *   cpu     bees busy ÷ bees, or the share of time that something waited for a CPU, if that is more
 *   memory  memory held by chambers ÷ memory_limit, or four times the share of time that something
 *           waited for memory, if that is more (a machine that waits for it a quarter of the time is full)
 *   queue   statements that wait ÷ bees, at most 1
 *
 * Pure arithmetic; pool.c feeds it. */
#ifndef AP_RUNTIME_TEMPERATURE_H
#define AP_RUNTIME_TEMPERATURE_H

#include <stdint.h>

#define AP_TEMPERATURE_SETPOINT 0.5

/* What each band means stands in docs/colony.md. */
enum ap_band {
    AP_BAND_COLD,     /* below 0.3: maintenance runs */
    AP_BAND_IDEAL,    /* to 0.7 */
    AP_BAND_WARM,     /* to 0.85: maintenance waits */
    AP_BAND_HOT,      /* to 0.95: writes are held back, queries queue */
    AP_BAND_CRITICAL, /* above: writes and queries are refused */
    AP_BANDS
};

/* Shares from 0 to 1; what is outside counts as the nearer end. */
struct ap_heat_sources {
    double bees_busy;
    double cpu_pressure;
    double memory_used;
    double memory_pressure;
    double queue;
};
double ap_temperature_of(const struct ap_heat_sources *now);
enum ap_band ap_temperature_band(double temperature);
const char *ap_band_text(enum ap_band band); /* "cold" … "critical" */

/* A figure that follows `now` with a delay of some seconds. Zeroed: takes the first as it is. */
struct ap_smoothed {
    double value;
    int64_t at_us; /* monotonic; 0: nothing yet */
};
/* delay_us: after so long two thirds of a step are seen. */
double ap_smoothed_add(struct ap_smoothed *smoothed, double now, int64_t now_us, int64_t delay_us);

#endif
