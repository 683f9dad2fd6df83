/*
 * What the commands of belfryctl share: options, talking to people, where the daemon is and the
 * token for it, requests over libcurl. One thread. Functions that return an exit code return one of
 * sysexits.h, and have said on stderr what is wrong.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdio.h>
#include <sysexits.h>

#include <curl/curl.h>

#include "base/buf.h"
#include "core/config.h"
#include "core/token.h"

/* --- commands: argv begins with the command's name; the exit code is returned --- */

int ctl_token(int argc, char **argv);
int ctl_secret(int argc, char **argv);
int ctl_publish(int argc, char **argv);
int ctl_listen(int argc, char **argv);
int ctl_chat(int argc, char **argv);
int ctl_bench(int argc, char **argv);
int ctl_stats(int argc, char **argv);
int ctl_history(int argc, char **argv);
int ctl_backup(int argc, char **argv);
int ctl_check(int argc, char **argv);
int ctl_moderate(int argc, char **argv); /* kick, ban, …: it looks at the name */

/* --- options --- */

struct ctl_option {
	const char *name; /* long, without the dashes */
	char letter;      /* short, or 0 */
	bool has_value;
};

/*
 * A walk over the arguments: `--name value`, `--name=value`, `-c value`, `-cvalue`, operands
 * anywhere, `--` ends the options.
 */
struct ctl_args {
	int argc;
	char **argv;
	int at;
	bool only_operands;
	const char *help; /* printed for --help; its first line after a mistake */
};

enum {
	CTL_END = -1,
	CTL_OPERAND = -2,
	CTL_WRONG = -3,
	CTL_HELP = -4
};

/* Starts behind argv[0]; help is borrowed static text. */
void ctl_args_init(struct ctl_args *a, int argc, char **argv, const char *help);
/*
 * The next argument: an index into options (with *value when it has one), CTL_OPERAND with
 * *value, CTL_END, CTL_WRONG (said on stderr: exit EX_USAGE), CTL_HELP (said on stdout: exit
 * EX_OK). --help and -h are always there.
 */
MUST_CHECK int ctl_args_next(
    struct ctl_args *a, const struct ctl_option *options, size_t n_options, const char **value);
/* Says "belfryctl COMMAND: text" and the usage line; returns EX_USAGE. */
int ctl_usage(const struct ctl_args *a, const char *fmt, ...) PRINTF(2, 3);

/* Says "belfryctl: text" on stderr where standard output is a terminal: to people only. */
void ctl_note(const char *fmt, ...) PRINTF(1, 2);
/* Says "belfryctl: text" on stderr; returns exit_code. */
int ctl_fail(int exit_code, const char *fmt, ...) PRINTF(2, 3);
int ctl_no_memory(void);
/* Prints a line and frees it; code, or EX_OSERR when a part of the line had no memory. */
int ctl_put_line(struct buf *line, int code);
/*
 * Print s for people as ctl/chat_text.h makes it safe, further lines indented, so that a terminal
 * shows text and nothing else.
 */
void ctl_print_text(FILE *out, struct slice s);
/* Append a copy of value to list. 0 or -ENOMEM. */
MUST_CHECK int ctl_add_string(struct strings *list, const char *value);
void ctl_strings_done(struct strings *list);

/* --- where the daemon is --- */

/* Read the configuration; file NULL: the default one. 0 and *out owned, or the exit code. */
MUST_CHECK int ctl_load_config(const char *file, struct config **out);
/* Seconds since 1970. */
int64_t ctl_now(void);

struct ctl_target {
	char *url;       /* without a slash at the end */
	char *unix_path; /* connect to this socket instead of url's host; or NULL */
	char *token;     /* or NULL */
	bool is_here;    /* on this machine: no proxy of the environment's stands between */
	bool can_sign; /* the token was made from a configuration's secret and can be made again */
};

/*
 * From -c FILE (the first TCP listener, else the first Unix socket; a token signed with its
 * secret for `belfryctl`), or without one from BELFRY_URL and BELFRY_TOKEN, or from the default
 * file. 0, or the exit code. ctl_target_done in any case.
 */
MUST_CHECK int ctl_target_find(const char *file, struct ctl_target *out);
void ctl_target_done(struct ctl_target *t);

/* --- commands that stay connected: ctl_stay.c --- */

/*
 * How long to wait before the next try after so many failures: first_ms doubled each time up to 30 s,
 * a half to the whole of that by chance, so that not all come back together.
 */
uint64_t ctl_backoff_ms(uint64_t first_ms, unsigned failures);
/* Find the target anew, with a fresh token. 0, or the exit code: then it stays as it was. */
MUST_CHECK int ctl_target_renew(const char *file, struct ctl_target *t);
/*
 * Signals are read from a descriptor, so that one ends a wait and nothing is half done. 0 and *out,
 * to be closed, or the exit code.
 */
MUST_CHECK int ctl_catch_signals(const int *signals, size_t n, int *out);

/* --- HTTP --- */

/* Append ?name=value, or &name=value, to a path; nothing for a value of NULL. Failures stick. */
void ctl_add_parameter(struct buf *path, const char *name, const char *value);
/*
 * A handle for url_path (path and query), with the token among *headers. NULL on no memory; the
 * caller frees both.
 */
MUST_CHECK CURL *ctl_request(
    const struct ctl_target *t, const char *url_path, struct curl_slist **headers);
/* Append a header line; on no memory *headers stays. 0 or -ENOMEM. */
MUST_CHECK int ctl_add_header(struct curl_slist **headers, const char *line);
/*
 * One request with its whole answer: GET, or POST of a JSON body when body.p is not NULL. EX_OK with
 * *status and *answer (whatever the status says), else the exit code.
 */
MUST_CHECK int ctl_fetch(const struct ctl_target *t, const char *url_path, struct slice body,
    struct buf *answer, long *status);
/*
 * Say what an answer other than 2xx says (the detail of a problem document, else its status);
 * the exit code that belongs to it.
 */
int ctl_problem(long status, struct slice body);
/* curl's own trouble in words; EX_UNAVAILABLE. */
int ctl_unreachable(const struct ctl_target *t, CURLcode code);

#endif
