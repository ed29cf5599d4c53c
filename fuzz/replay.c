/* Runs a fuzz target over a corpus without a fuzzer: replay_NAME FOLDER|FILE...
 * Prints TAP, a line for each file, so that every build replays what was once found. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INPUT_BYTES_MAX = 1 << 24, PATH_BYTES_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count;

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = calloc(1, INPUT_BYTES_MAX);
    if (!file || !data) {
        printf("not ok %d - cannot read %s\n", ++count, path);
        exit(1);
    }
    size_t size = fread(data, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    /* An exact allocation lets the address sanitizer see a read past the end. */
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) abort();
    memcpy(exact, data, size);
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    const char *slash = strrchr(path, '/');
    printf("ok %d - %s\n", ++count, slash ? slash + 1 : path);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct stat info;
        if (stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode)) {
            struct dirent **entries;
            int n = scandir(argv[i], &entries, NULL, alphasort);
            for (int e = 0; e < n; e++) {
                char path[PATH_BYTES_MAX];
                snprintf(path, sizeof path, "%s/%s", argv[i], entries[e]->d_name);
                if (entries[e]->d_name[0] != '.') replay_file(path);
                free(entries[e]);
            }
            if (n >= 0) free(entries);
        } else {
            replay_file(argv[i]);
        }
    }
    printf("1..%d\n", count);
    return count ? 0 : 1; /* a corpus that is not there proves nothing */
}
