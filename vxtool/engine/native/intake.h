/* Several inputs, read side by side: bytes of each come in as they may, records go out in one order.
 *
 * Next is always the input whose next record has the smallest time, and of equal ones the first. So the order
 * within an input is kept, even where its own times run backwards. */
#ifndef VXTOOL_INTAKE_H
#define VXTOOL_INTAKE_H

#include "container.h"

enum { VX_READY = 32 /* records found in a file before anything is made of them */ };

/* The number of no input. */
#define VX_NO_INPUT UINT32_MAX

/* One input. Its next record, where there is one, waits until every other input has one to compare. */
typedef struct {
    vx_container *container;
    bool ended;
    bool ready_is_copied;
    vx_record ready[VX_READY]; /* from `ready_at` to `ready_count`: more than one only of the only input */
    uint32_t ready_at;
    uint32_t ready_count;
    uint8_t *copy; /* of the next record's bytes, where those of the offer went away before it was taken */
    size_t copy_capacity;
} vx_intake;

/* 0, or -1: no memory. The intake is all zero before. */
int vx_intake_init(vx_intake *intake);
void vx_intake_free(vx_intake *intake);

/* Give the next bytes of an input. They stay the caller's, until vx_intake_keep. */
static inline void vx_intake_offer(vx_intake *intake, const uint8_t *data, size_t length) {
    vx_container_offer(intake->container, data, length);
}

/* No more bytes will come. */
static inline void vx_intake_end(vx_intake *intake) {
    vx_container_end(intake->container);
    intake->ended = true;
}

/* Keep what was offered and not yet taken, so that the offered bytes may go away. 0, or -1: no memory. */
int vx_intake_keep(vx_intake *intake);

/* Whether nothing can come any more behind what is ready. */
static inline bool vx_intake_is_over(const vx_intake *intake) {
    return intake->ended || vx_container_damage(intake->container)->code != VX_DAMAGE_NONE;
}

/* Whether it has a next record; where it has none, at most so many are made ready. */
static inline bool vx_intake_fill(vx_intake *intake, size_t most) {
    if (intake->ready_at == intake->ready_count) {
        intake->ready_count = (uint32_t)vx_container_next_few(intake->container, intake->ready, most);
        intake->ready_at = 0;
        intake->ready_is_copied = false;
    }
    return intake->ready_at < intake->ready_count;
}

/* The input whose record, at `ready_at`, is next; VX_NO_INPUT: it cannot be told before an input goes on, or
 * there is none. */
static inline uint32_t vx_intakes_next(vx_intake *intakes, uint32_t count) {
    uint32_t best = VX_NO_INPUT;
    int64_t earliest = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!vx_intake_fill(&intakes[i], 1)) {
            if (!vx_intake_is_over(&intakes[i]))
                return VX_NO_INPUT;
            continue;
        }
        int64_t time = intakes[i].ready[intakes[i].ready_at].time_ns;
        if (best == VX_NO_INPUT || time < earliest) {
            best = i;
            earliest = time;
        }
    }
    return best;
}

/* The first input that has to go on before more records come; VX_NO_INPUT: none. */
static inline uint32_t vx_intakes_wanting(const vx_intake *intakes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (intakes[i].ready_at == intakes[i].ready_count && !vx_intake_is_over(&intakes[i]))
            return i;
    return VX_NO_INPUT;
}

#endif
