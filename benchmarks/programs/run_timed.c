/*
 * Runs one command and prints what it cost: wall time from before the fork until it was reaped, its CPU time,
 * and the peak of its resident memory.
 *
 *   run_timed RESULT COMMAND...      RESULT: a file for "wall_ns cpu_ns peak_kib status"
 *
 * Before that, memory is touched and given back: a virtual machine whose host takes back what lies free gets
 * it again a page at a time, and each costs several microseconds, which then are the host's and not the
 * command's.
 *
 * A program of its own because the kernel counts what a child shared with its parent before the exec as the
 * child's memory: behind an interpreter, even `cat` would seem to need what the interpreter needs.
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int64_t nanoseconds(struct timeval time) {
    return (int64_t)time.tv_sec * 1000000000 + (int64_t)time.tv_usec * 1000;
}

enum { WARM_BYTES = 512 << 20, PAGE_BYTES = 4096 };

/* More memory than most commands need, as the machine itself has it; but not more than a quarter of what is
 * free. */
static void warm_memory(void) {
    const size_t most = (size_t)sysconf(_SC_AVPHYS_PAGES) / 4 * (size_t)sysconf(_SC_PAGESIZE);
    const size_t size = most < WARM_BYTES ? most : WARM_BYTES;
    uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return;
    madvise(memory, size, MADV_HUGEPAGE);
    for (size_t at = 0; at < size; at += PAGE_BYTES)
        memory[at] = 1;
    munmap(memory, size);
}

int main(int count, char **arguments) {
    if (count < 3) {
        fputs("run_timed: expected a file for the result, and a command\n", stderr);
        return 2;
    }
    warm_memory();
    const int64_t start = now();
    const pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "run_timed: fork: %s\n", strerror(errno));
        return 2;
    }
    if (child == 0) {
        execvp(arguments[2], arguments + 2);
        fprintf(stderr, "run_timed: %s: %s\n", arguments[2], strerror(errno));
        _exit(127);
    }
    int status;
    struct rusage usage;
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR) {
            fprintf(stderr, "run_timed: wait4: %s\n", strerror(errno));
            return 2;
        }
    const int64_t wall = now() - start;

    FILE *result = fopen(arguments[1], "w");
    if (!result) {
        fprintf(stderr, "run_timed: %s: %s\n", arguments[1], strerror(errno));
        return 2;
    }
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    fprintf(result, "%lld %lld %ld %d\n", (long long)wall,
            (long long)(nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime)), usage.ru_maxrss, code);
    return fclose(result) ? 2 : 0;
}
