// SPDX-License-Identifier: Apache-2.0
// What an analysis says: points, losses, and ratios for a loss.
#include <math.h>
#include <string.h>

#include "prune/sensitivity_data.h"

double tsl_sensitivity_loss(const tslim_sensitivity *s, uint32_t group, uint32_t ratio) {
    double value = s->values[group * s->n_ratios + ratio], loss;
    switch (s->metric) {
    case TSLIM_SENSITIVITY_TOP1:
    case TSLIM_SENSITIVITY_TOP5:
        loss = s->baseline - value;
        break;
    case TSLIM_SENSITIVITY_LOSS:
        loss = (value - s->baseline) / (s->baseline > 1e-9 ? s->baseline : 1e-9);
        break;
    default:
        loss = value;
        break;
    }
    return isnan(loss) || loss > 0 ? loss : 0;
}

bool tsl_sensitivity_ratio_at(const tslim_sensitivity *s, const char *group, double loss, double *ratio) {
    uint32_t g = 0;
    while (g < s->n_groups && strcmp(s->groups[g], group) != 0) g++;
    if (g == s->n_groups || isnan(tsl_sensitivity_loss(s, g, 0))) return false;
    double before = 0, before_ratio = 0;
    for (uint32_t r = 0; r < s->n_ratios; r++) {
        double here = tsl_sensitivity_loss(s, g, r);
        if (isnan(here)) return false;
        if (here > loss) {
            double part = before >= loss ? 0 : (loss - before) / (here - before);
            *ratio = before_ratio + part * (s->ratios[r] - before_ratio);
            return true;
        }
        before = here;
        before_ratio = s->ratios[r];
    }
    *ratio = before_ratio;
    return true;
}

double tsl_sensitivity_greatest_loss(const tslim_sensitivity *s) {
    double greatest = 0;
    for (uint32_t g = 0; g < s->n_groups; g++)
        for (uint32_t r = 0; r < s->n_ratios; r++)
            if (tsl_sensitivity_loss(s, g, r) > greatest) greatest = tsl_sensitivity_loss(s, g, r);
    return greatest;
}

double tslim_sensitivity_baseline(const tslim_sensitivity *s) {
    return s ? s->baseline : NAN;
}

uint32_t tslim_sensitivity_group_count(const tslim_sensitivity *s) {
    return s ? s->n_groups : 0;
}

const char *tslim_sensitivity_group_name(const tslim_sensitivity *s, uint32_t group) {
    return s && group < s->n_groups ? s->groups[group] : NULL;
}

uint32_t tslim_sensitivity_ratio_count(const tslim_sensitivity *s) {
    return s ? s->n_ratios : 0;
}

double tslim_sensitivity_ratio(const tslim_sensitivity *s, uint32_t ratio) {
    return s && ratio < s->n_ratios ? s->ratios[ratio] : NAN;
}

double tslim_sensitivity_value(const tslim_sensitivity *s, uint32_t group, uint32_t ratio) {
    return s && group < s->n_groups && ratio < s->n_ratios ? s->values[group * s->n_ratios + ratio] : NAN;
}
