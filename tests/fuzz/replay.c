/*
 * Runs a fuzzer's function over the files named on the command line (a folder stands for the files in it), so that
 * the corpus is replayed by every `make check`, with any compiler. The input lies in a block of its exact size: a
 * sanitizer or valgrind sees one byte read too far.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REPLAY_MAX_BYTES (16L << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns 0, or a negative errno value with the path printed. */
static int
replay_file(const char *path, long n_bytes)
{
	uint8_t *data = NULL;
	FILE *f = fopen(path, "rb");
	int r = 0;

	if (f == NULL || n_bytes > REPLAY_MAX_BYTES) {
		r = f == NULL ? -errno : -EFBIG;
		goto out;
	}
	data = malloc(n_bytes > 0 ? (size_t)n_bytes : 1);
	if (data == NULL || fread(data, 1, (size_t)n_bytes, f) != (size_t)n_bytes) {
		r = -EIO;
		goto out;
	}
	(void)LLVMFuzzerTestOneInput(
	    data, (size_t)n_bytes); /* always 0; a fault ends the process */
out:
	if (r < 0)
		(void)fprintf(stderr, "%s: %s\n", path, strerror(-r));
	free(data);
	if (f != NULL)
		(void)fclose(f); /* was only read */
	return r;
}

/* Adds the number of files that were run to *n_files; returns 0, or -1 when one could not be read. */
static int
replay_path(const char *path, unsigned *n_files)
{
	struct stat st;
	const struct dirent *e;
	DIR *dir;
	int r = 0;

	if (stat(path, &st) != 0) {
		perror(path);
		return -1;
	}
	if (!S_ISDIR(st.st_mode)) {
		++*n_files;
		return replay_file(path, (long)st.st_size) < 0 ? -1 : 0;
	}
	dir = opendir(path);
	if (dir == NULL) {
		perror(path);
		return -1;
	}
	while ((e = readdir(dir)) != NULL) {
		char inner[PATH_MAX];
		int n;

		if (e->d_name[0] == '.')
			continue;
		n = snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name);
		if (n < 0 || (size_t)n >= sizeof(inner) || replay_path(inner, n_files) < 0)
			r = -1;
	}
	(void)closedir(dir); /* was only read */
	return r;
}

int
main(int argc, char **argv)
{
	unsigned n_files = 0;
	int r = 0;

	(void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++) {
		if (replay_path(argv[i], &n_files) < 0)
			r = -1;
	}
	printf("%u inputs\n", n_files);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
