#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/b64.h"
#include "base/rng.h"

#define SECRET_BYTES 32
#define SECRET_MODE  0640

static const char help[] =
    "usage: belfryctl secret FILE\n"
    "\n"
    "Writes 32 random bytes as text into a new FILE that its owner may write and its group may read:\n"
    "a key for auth.secret_file. A file that is there already is left alone.\n";

/* 0, or the errno of what failed. */
static int
write_secret(int fd)
{
	uint8_t random[SECRET_BYTES];
	char text[B64_SIZE(SECRET_BYTES) + 1];
	size_t n;
	int e = 0;

	rng_fill(random, sizeof(random));
	n = b64url_encode(random, sizeof(random), text);
	text[n++] = '\n';
	/* the umask may have taken the group's right */
	if (fchmod(fd, SECRET_MODE) != 0 || write(fd, text, n) != (ssize_t)n || fsync(fd) != 0)
		e = errno == 0 ? EIO : errno;
	OPENSSL_cleanse(random, sizeof(random));
	OPENSSL_cleanse(text, sizeof(text));
	return e;
}

int
ctl_secret(int argc, char **argv)
{
	struct ctl_args args;
	const char *file = NULL;
	const char *value;
	int fd;
	int e;

	ctl_args_init(&args, argc, argv, help);
	for (int i = ctl_args_next(&args, NULL, 0, &value); i != CTL_END;
	     i = ctl_args_next(&args, NULL, 0, &value)) {
		if (i != CTL_OPERAND)
			return i == CTL_HELP ? EX_OK : EX_USAGE;
		if (file != NULL)
			return ctl_usage(&args, "one file is enough, '%s' is a second one", value);
		file = value;
	}
	if (file == NULL || file[0] == '\0')
		return ctl_usage(&args, "the name of the new file is missing");
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, SECRET_MODE & ~077);
	if (fd < 0)
		return ctl_fail(EX_CANTCREAT, "%s: %s", file,
		    errno == EEXIST ? "is there already, and is left alone"
				    : strerrordesc_np(errno));
	e = write_secret(fd);
	if (close(fd) != 0 && e == 0)
		e = errno;
	if (e != 0) {
		(void)unlink(file); /* half a secret is worse than none */
		return ctl_fail(EX_IOERR, "%s: %s", file, strerrordesc_np(e));
	}
	(void)printf("%s: a new key of %d random bytes\n", file, SECRET_BYTES);
	return EX_OK;
}
