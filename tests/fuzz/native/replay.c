/* A target without libFuzzer: runs it on each of the files that are named. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int count, char **arguments) {
    enum { MOST = 1 << 20 };
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(arguments[i], "rb");
        uint8_t *data = malloc(MOST);
        if (file == NULL || data == NULL) {
            fprintf(stderr, "replay: %s: cannot be read\n", arguments[i]);
            return 2;
        }
        size_t size = fread(data, 1, MOST, file);
        fclose(file);
        /* A block of just its size, so that every byte read too far is seen. */
        uint8_t *bytes = realloc(data, size > 0 ? size : 1);
        LLVMFuzzerTestOneInput(bytes, size);
        free(bytes);
        printf("%s\n", arguments[i]);
    }
    return 0;
}
