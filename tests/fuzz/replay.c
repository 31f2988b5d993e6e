/* Stands in for libFuzzer where the compiler has none: feeds every file of the folders named on the command line
 * to the target once. A folder that is not there holds no inputs. Each input is copied to a block of exactly its
 * size, so that AddressSanitizer sees a read past its end; the target itself aborts on what it finds wrong.
 */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) return -1;
  int result = -1;
  uint8_t *data = NULL;
  if (fseek(f, 0, SEEK_END) != 0) goto done;
  long size = ftell(f);
  if (size < 0 || fseek(f, 0, SEEK_SET) != 0) goto done;
  data = malloc(size ? (size_t)size : 1);
  if (!data || fread(data, 1, (size_t)size, f) != (size_t)size) goto done;
  LLVMFuzzerTestOneInput(data, (size_t)size);
  result = 0;
done:
  free(data);
  fclose(f);
  return result;
}

static int replay_folder(const char *folder, int *n_inputs) {
  DIR *dir = opendir(folder);
  if (!dir) return 0;
  int result = 0;
  for (struct dirent *e; (e = readdir(dir));) {
    if (e->d_name[0] == '.') continue;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    fprintf(stderr, "%s\n", e->d_name);
    if (replay_file(path) != 0) {
      perror(path);
      result = 1;
    }
    ++*n_inputs;
  }
  closedir(dir);
  return result;
}

int main(int argc, char **argv) {
  int result = 0, n_inputs = 0;
  for (int i = 1; i < argc; i++) result |= replay_folder(argv[i], &n_inputs);
  printf("%d inputs replayed\n", n_inputs);
  return result;
}
