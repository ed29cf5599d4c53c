#include "runtime/temperature.h"

#include <math.h>
#include <stddef.h>

enum { MEMORY_PRESSURE_WEIGHT = 4 };

static double share(double value)
{
    if (!(value > 0)) return 0;
    return value < 1 ? value : 1;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

double ap_temperature_of(const struct ap_heat_sources *now)
{
    double cpu = larger(share(now->bees_busy), share(now->cpu_pressure));
    double memory =
        larger(share(now->memory_used), share(now->memory_pressure * MEMORY_PRESSURE_WEIGHT));
    return 0.4 * cpu + 0.4 * memory + 0.2 * share(now->queue);
}

static const struct {
    double below;
    const char *text;
} bands[AP_BANDS] = {
    [AP_BAND_COLD] = { 0.3, "cold" },
    [AP_BAND_IDEAL] = { 0.7, "ideal" },
    [AP_BAND_WARM] = { 0.85, "warm" },
    [AP_BAND_HOT] = { 0.95, "hot" },
    [AP_BAND_CRITICAL] = { 2, "critical" },
};

enum ap_band ap_temperature_band(double temperature)
{
    if (temperature < bands[AP_BAND_COLD].below) return AP_BAND_COLD;
    for (int band = AP_BAND_IDEAL; band < AP_BAND_CRITICAL; band++)
        if (temperature <= bands[band].below) return (enum ap_band)band;
    return AP_BAND_CRITICAL;
}

const char *ap_band_text(enum ap_band band)
{
    return bands[band].text;
}

double ap_smoothed_add(struct ap_smoothed *smoothed, double now, int64_t now_us, int64_t delay_us)
{
    if (smoothed->at_us == 0)
        smoothed->value = now;
    else if (now_us > smoothed->at_us)
        smoothed->value += (now - smoothed->value) *
                           (1 - exp(-(double)(now_us - smoothed->at_us) / (double)delay_us));
    smoothed->at_us = now_us;
    return smoothed->value;
}
