#include "ctl/bench.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define NS_A_TICK  (1000000000u / 100) /* of /proc/PID/stat */
#define ANSWER_MAX (1024 * 1024)

/* What the daemon costs: its process, when that is on this machine, and what it tells of itself. */

/* --- /metrics --- */

/* A figure's value; 0 when it is not there. */
static uint64_t
figure(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = text; at != NULL; at = strchr(at + 1, '\n')) {
		const char *line = *at == '\n' ? at + 1 : at;

		if (strncmp(line, name, n) == 0 && line[n] == ' ')
			return strtoull(line + n, NULL, 10);
	}
	return 0;
}

int
bench_ask(const struct bench *b, struct bench_metrics *out)
{
	struct buf answer = BUF_INIT(ANSWER_MAX);
	long status = 0;
	int code = ctl_fetch(&b->target, "/metrics", SLICE_NONE, &answer, &status);

	*out = (struct bench_metrics){.heap_bytes = 0};
	if (code == EX_OK && status == 200 && buf_add_char(&answer, '\0') == 0)
		*out = (struct bench_metrics){.heap_bytes = figure(answer.p, "belfry_heap_bytes"),
		    .resident_bytes = figure(answer.p, "process_resident_memory_bytes"),
		    .topics = figure(answer.p, "belfry_topics"),
		    .messages = figure(answer.p, "belfry_log_messages"),
		    .pid = figure(answer.p, "belfry_process_id")};
	buf_done(&answer);
	return code;
}

static bool
is_loopback(const struct addrinfo *a)
{
	const void *address = a->ai_addr; /* of the family's own type */
	const struct sockaddr_in *four = address;
	const struct sockaddr_in6 *six = address;

	if (a->ai_family == AF_INET)
		return ntohl(four->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return a->ai_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

/* --- the process --- */

/* The first line of a file below /proc; false when it cannot be read. */
static bool
first_line(const char *path, char *out, size_t n)
{
	FILE *f = fopen(path, "re");
	bool ok = f != NULL && fgets(out, (int)n, f) != NULL;

	if (f != NULL)
		(void)fclose(f); /* only read */
	return ok;
}

int
bench_find_pid(struct bench *b)
{
	struct bench_metrics m;
	char path[64];
	char name[32];
	int code;

	if (b->o.pid != 0 || !is_loopback(b->address))
		return EX_OK;
	code = bench_ask(b, &m);
	if (code != EX_OK)
		return code;
	/* behind a forwarded port, or in a container, the number is somebody else's or nobody's */
	(void)snprintf(path, sizeof(path), "/proc/%llu/comm", (unsigned long long)m.pid);
	if (m.pid > 0 && m.pid <= INT32_MAX && first_line(path, name, sizeof(name)) &&
	    strcmp(name, "belfryd\n") == 0)
		b->o.pid = (int64_t)m.pid;
	return EX_OK;
}

/*
 * /proc/PID/stat counts in hundredths of a second: the way out where the kernel has no schedstat.
 */
static uint64_t
cpu_by_ticks(int64_t pid)
{
	char path[64];
	char line[1024];
	char *at;
	uint64_t ticks = 0;

	(void)snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
	if (!first_line(path, line, sizeof(line)))
		return 0;
	at = strrchr(line, ')'); /* the name may hold anything */
	for (unsigned field = 2; at != NULL && field < 15; field++) {
		at = strchr(at + 1, ' ');
		if (at != NULL && field >= 13)
			ticks += strtoull(at + 1, NULL, 10); /* utime, then stime */
	}
	return ticks * NS_A_TICK;
}

uint64_t
bench_cpu_ns(int64_t pid)
{
	char path[320];
	char line[128];
	const struct dirent *e;
	uint64_t sum = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%lld/task", (long long)pid);
	d = pid == 0 ? NULL : opendir(path);
	if (d == NULL)
		return 0;
	while ((e = readdir(d)) != NULL) { /* NOLINT(concurrency-mt-unsafe): a stream of ours */
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(
		    path, sizeof(path), "/proc/%lld/task/%s/schedstat", (long long)pid, e->d_name);
		if (first_line(path, line, sizeof(line)))
			sum += strtoull(line, NULL, 10);
	}
	(void)closedir(d); /* only read */
	return sum != 0 ? sum : cpu_by_ticks(pid);
}

uint64_t
bench_resident_bytes(int64_t pid)
{
	char path[64];
	char line[256];
	uint64_t bytes = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%lld/smaps_rollup", (long long)pid);
	f = pid == 0 ? NULL : fopen(path, "re");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "Anonymous:", 10) == 0)
			bytes = strtoull(line + 10, NULL, 10) * 1024;
	}
	(void)fclose(f); /* only read */
	return bytes;
}
