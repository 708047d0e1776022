#include "intake.h"

#include <stdlib.h>
#include <string.h>

#include "table.h"

int vx_intake_init(vx_intake *intake) {
    intake->container = vx_container_new();
    return intake->container != NULL ? 0 : -1;
}

void vx_intake_free(vx_intake *intake) {
    vx_container_free(intake->container);
    free(intake->copy);
}

int vx_intake_keep(vx_intake *intake) {
    if (intake->ready_at < intake->ready_count && !intake->ready_is_copied) {
        vx_record *next = &intake->ready[intake->ready_at];
        if (next->captured > intake->copy_capacity) {
            uint8_t *grown = vx_resize(intake->copy, next->captured, 1);
            if (grown == NULL)
                return -1;
            intake->copy = grown;
            intake->copy_capacity = next->captured;
        }
        if (next->captured > 0)
            memcpy(intake->copy, next->data, next->captured);
        next->data = intake->copy;
        intake->ready_is_copied = true;
    }
    vx_container_detach(intake->container);
    return 0;
}
