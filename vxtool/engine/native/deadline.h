/* Until when to wait: for pthread_cond_timedwait, whose file asks for POSIX. */
#ifndef VXTOOL_DEADLINE_H
#define VXTOOL_DEADLINE_H

#include <time.h>

static inline struct timespec vx_deadline(unsigned milliseconds) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_sec += milliseconds / 1000;
    time.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    return time;
}

#endif
