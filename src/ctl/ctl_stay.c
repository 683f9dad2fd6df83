#include "ctl/ctl.h"

#include <signal.h>
#include <sys/signalfd.h>

#include "base/rng.h"

#define BACKOFF_MAX_MS 30000
#define DOUBLINGS      5

uint64_t
ctl_backoff_ms(uint64_t first_ms, unsigned failures)
{
	uint64_t base = first_ms << (failures < DOUBLINGS ? failures : DOUBLINGS);

	base = min_u64(base, BACKOFF_MAX_MS);
	return base / 2 + rng_below((uint32_t)(base / 2) + 1);
}

int
ctl_target_renew(const char *file, struct ctl_target *t)
{
	struct ctl_target fresh;
	int code = ctl_target_find(file, &fresh);

	if (code != 0) {
		ctl_target_done(&fresh);
		return code;
	}
	ctl_target_done(t);
	*t = fresh;
	return 0;
}

int
ctl_catch_signals(const int *signals, size_t n, int *out)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set); /* cannot fail, nor can the next */
	for (size_t i = 0; i < n; i++)
		(void)sigaddset(&set, signals[i]);
	fd = sigprocmask(SIG_BLOCK, &set, NULL) != 0 ? -1 : signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		return ctl_fail(EX_OSERR, "signals cannot be read");
	*out = fd;
	return 0;
}
