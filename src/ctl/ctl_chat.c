#include "ctl/ctl.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/topic.h"
#include "ctl/chat_link.h"
#include "ctl/chat_screen.h"
#include "ctl/chat_session.h"
#include "ctl/chat_text.h"
#include "proto/json.h"

#define LAST        20
#define LAST_MAX    1000
#define PATH_SIZE   8192
#define SEND_MAX    1048576
#define PROMPT_MAX  4096
#define PROMPT_ROOM 24 /* columns of a room's name in the prompt */
#define BACKOFF_MS  1000
#define QUIET_MS    30000 /* then it is asked whether the daemon is still there */
#define GIVE_UP_MS  60000 /* for lines of a pipe that has ended, when nobody takes them */
#define LEAVE_MS    3000
#define TURN_MS     1000

static const char help[] =
    "usage: belfryctl chat [OPTION]... ROOM\n"
    "\n"
    "A chat in a room: shows what is said there, and says what is typed, or read from a pipe.\n"
    "/help in it lists the commands. A lost connection is made again, and nothing is lost.\n"
    "\n"
    "  -c, --config FILE    the daemon's configuration: says where it is and signs a token\n"
    "      --name NAME      what others see, if the token has no name\n"
    "      --last N         first the last N messages (20)\n"
    "      --no-color       no colours, as with NO_COLOR in the environment\n"
    "      --json           the daemon's messages as they are, one a line\n";

enum {
	CONFIG,
	NAME,
	LAST_N,
	NO_COLOR,
	JSON,
	N_OPTIONS
};

static const struct ctl_option options[N_OPTIONS] = {
    [CONFIG] = {"config", 'c', true},
    [NAME] = {"name", 0, true},
    [LAST_N] = {"last", 0, true},
    [NO_COLOR] = {"no-color", 0, false},
    [JSON] = {"json", 0, false},
};

struct chat {
	const char *values[N_OPTIONS];
	const char *room;
	struct ctl_target target;
	struct link link;
	struct session session;
	struct screen screen;
	struct buf line; /* unfinished input of a pipe */
	struct buf send;
	int signal_fd;
	bool has_input; /* standard input has not ended */
	bool is_open;   /* there is a connection, or one is being made */
	bool was_open;  /* some connection was */
	bool was_edited;
	bool is_asked; /* whether the daemon is still there */
	bool is_given_up;
	int code;
	unsigned failures;
	uint64_t next_try_ms; /* while there is no connection */
	uint64_t ended_ms;    /* when input ended or a leave began; 0: neither */
};

static uint64_t
now(void)
{
	return clock_mono_us() / 1000;
}

/* --- arguments --- */

/* 0; an exit code; -1 for "done, and well". */
static int
take_arguments(struct chat *c, int argc, char **argv, uint64_t *last)
{
	struct ctl_args args;
	const char *value;
	int i;

	ctl_args_init(&args, argc, argv, help);
	while ((i = ctl_args_next(&args, options, N_OPTIONS, &value)) != CTL_END) {
		if (i == CTL_HELP)
			return -1;
		if (i == CTL_WRONG)
			return EX_USAGE;
		if (i >= 0)
			c->values[i] = value == NULL ? "" : value;
		else if (c->room != NULL)
			return ctl_usage(&args, "'%s' is not expected", value);
		else
			c->room = strncmp(value, "chat/", 5) == 0 ? value + 5 : value;
	}
	if (c->room == NULL)
		return ctl_usage(&args, "the room is missing");
	if (c->room[0] == '\0' || strchr(c->room, '/') != NULL ||
	    topic_error(slice_str(c->room)) != NULL)
		return ctl_usage(&args, "'%s' is no room's name", c->room);
	if (c->values[LAST_N] != NULL &&
	    (slice_to_u64(slice_str(c->values[LAST_N]), last) < 0 || *last > LAST_MAX))
		return ctl_usage(
		    &args, "--last is '%s', want a number up to 1000", c->values[LAST_N]);
	return 0;
}

/* --- what is shown --- */

static void
show(struct chat *c)
{
	struct session *s = &c->session;

	screen_show(&c->screen, buf_slice(&s->shown), false);
	screen_show(&c->screen, buf_slice(&s->notes), true);
	buf_reset(&s->shown);
	buf_reset(&s->notes);
	if (s->returned == NULL || !c->screen.is_edited)
		return;
	/* a line that was refused stands there again, unless another one is being typed */
	edit_remember(&c->screen.edit, slice_str(s->returned));
	if (c->screen.edit.text.n == 0)
		edit_set(&c->screen.edit, slice_str(s->returned));
	mem_free(s->returned);
	s->returned = NULL;
}

static void
draw(struct chat *c)
{
	struct buf prompt = BUF_INIT(PROMPT_MAX);
	size_t n = c->session.outbox.n;

	/* failures stick, and leave a shorter one */
	(void)text_add_excerpt(&prompt, slice_str(c->session.view.room), PROMPT_ROOM);
	if (!c->session.is_joined)
		(void)BUF_ADD_LIT(&prompt, " (not connected)");
	if (n > 0)
		(void)buf_printf(&prompt, " (%zu unsent)", n);
	(void)BUF_ADD_LIT(&prompt, "> ");
	screen_draw(&c->screen, buf_slice(&prompt));
	buf_done(&prompt);
}

static void
on_message(void *arg, struct slice json)
{
	struct chat *c = arg;

	if (c->values[JSON] != NULL) {
		screen_show(&c->screen, json, false);
		screen_show(&c->screen, SLICE("\n"), false);
	}
	session_take(&c->session, json, now());
	if (c->session.is_joined) {
		c->failures = 0;
		c->is_asked = false;
	}
	show(c);
}

/* --- input --- */

static void
end_input(struct chat *c)
{
	c->has_input = false;
	c->session.is_input_over = true;
	c->ended_ms = now();
}

/* What completes the word: the rest of the only candidate that begins with it. */
static void
try_candidate(struct slice word, struct slice candidate, struct slice *rest, unsigned *n)
{
	if (word.n == 0 || candidate.n < word.n ||
	    !slice_eq_nocase(slice_of(candidate.p, word.n), word))
		return;
	*rest = slice_skip(candidate, word.n);
	(*n)++;
}

/* Tab: a command at the beginning of the line, else a name. */
static void
complete(struct chat *c)
{
	struct edit *e = &c->screen.edit;
	const struct view *v = &c->session.view;
	size_t begin = e->cursor;
	struct slice rest = SLICE_NONE;
	struct slice word;
	unsigned n = 0;

	while (begin > 0 && e->text.p[begin - 1] != ' ')
		begin--;
	if (begin == e->cursor)
		return;
	word = slice_of(e->text.p + begin, e->cursor - begin);
	for (size_t i = 0; begin == 0 && words_command(i) != NULL; i++)
		try_candidate(word, slice_str(words_command(i)), &rest, &n);
	if (word.p[0] == '@')
		word = slice_skip(word, 1);
	for (size_t i = 0; i < min_size(v->n_people, VIEW_PEOPLE); i++)
		try_candidate(word, slice_str(v->people[i].name), &rest, &n);
	if (n != 1)
		return;
	edit_insert(e, rest);
	edit_insert(e, SLICE(" "));
}

static void
read_keys(struct chat *c, struct slice keys)
{
	struct edit *e = &c->screen.edit;

	while (keys.n > 0) {
		switch (edit_feed(e, &keys)) {
		case EDIT_LINE:
			session_line(&c->session, buf_slice(&e->text));
			edit_take(e);
			show(c);
			break;
		case EDIT_END:
			end_input(c);
			return;
		case EDIT_REDRAW:
			screen_clear(&c->screen);
			break;
		case EDIT_TAB:
			complete(c);
			break;
		case EDIT_MORE:
			break;
		}
	}
}

/* A line of a pipe is whole. */
static void
take_line(struct chat *c)
{
	struct slice line = buf_slice(&c->line);

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	session_line(&c->session, line);
	buf_reset(&c->line);
	show(c);
}

/* A piece of a pipe: each line of it is one to say. */
static void
read_lines(struct chat *c, struct slice bytes)
{
	while (bytes.n > 0) {
		const char *end = memchr(bytes.p, '\n', bytes.n);
		size_t n = end == NULL ? bytes.n : (size_t)(end - bytes.p);
		size_t taken = min_size(n, EDIT_LINE_MAX - c->line.n);

		(void)buf_add(&c->line, bytes.p, taken); /* without memory it is cut short */
		bytes = slice_skip(bytes, taken);
		if (taken < n) {
			take_line(c); /* too long for one */
			continue;
		}
		if (end == NULL)
			return;
		bytes = slice_skip(bytes, 1);
		take_line(c);
	}
}

static void
read_input(struct chat *c)
{
	char bytes[4096];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0 && c->screen.is_edited) {
		read_keys(c, slice_of(bytes, (size_t)n));
	} else if (n > 0) {
		read_lines(c, slice_of(bytes, (size_t)n));
	} else {
		if (c->line.n > 0)
			take_line(c); /* a last line needs no end */
		end_input(c);
	}
}

static void
read_signal(struct chat *c)
{
	struct signalfd_siginfo info;

	if (read(c->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	switch ((int)info.ssi_signo) {
	case SIGWINCH:
		screen_measure(&c->screen);
		c->session.view.width = c->screen.width;
		return;
	case SIGTSTP:
		screen_release(&c->screen);
		(void)raise(SIGSTOP); /* and go on here when told to */
		screen_measure(&c->screen);
		screen_take(&c->screen);
		return;
	case SIGPIPE:
		return; /* ferror tells */
	default:
		c->is_given_up = c->session.is_quitting; /* the second time at once */
		c->session.is_quitting = true;
		c->has_input = false;
		c->ended_ms = now();
		return;
	}
}

/* --- the connection --- */

static void
open_link(struct chat *c)
{
	struct buf path = BUF_INIT(PATH_SIZE);

	(void)BUF_ADD_LIT(&path, "/chat"); /* failures stick */
	ctl_add_parameter(&path, "name", c->values[NAME]);
	(void)buf_add_char(&path, '\0');
	c->code = path.failed ? ctl_no_memory() : link_open(&c->link, &c->target, path.p, now());
	c->is_given_up = c->code != 0;
	c->is_open = true;
	c->is_asked = false;
	buf_done(&path);
}

/* Over: the screen is given back first, for the words on standard error. */
static void
give_up(struct chat *c, int code)
{
	c->is_given_up = true;
	c->code = code;
}

/* Whether a connection that ended so is not worth another try; the exit code, said. */
static int
judge(struct chat *c)
{
	const struct link *l = &c->link;
	bool may_pass = l->status == 408 || l->status == 429 || l->status >= 500;

	screen_release(&c->screen); /* for words on standard error */
	if (l->status == 101 ||
	    (!l->was_up && l->status == 0 && l->error == CURLE_OK && !c->was_open))
		return ctl_fail(EX_PROTOCOL, "%s/chat is no WebSocket", c->target.url);
	if (l->status != 0 && (!may_pass || !c->was_open))
		return ctl_problem(l->status, buf_slice(&l->problem));
	if (l->error != CURLE_OK && !l->was_up && !c->was_open)
		return ctl_unreachable(&c->target, l->error);
	switch (l->close_code) {
	case WS_CLOSE_TOKEN_ENDED:
		return c->target.can_sign ? 0 : ctl_fail(EX_NOPERM, "the token has ended");
	case WS_CLOSE_KICKED:
		return EX_NOPERM; /* `left` has said it */
	case WS_CLOSE_PROTOCOL:
	case WS_CLOSE_UNSUPPORTED:
	case WS_CLOSE_INVALID:
	case WS_CLOSE_TOO_BIG:
		return ctl_fail(EX_PROTOCOL, "the connection ended with code %d", l->close_code);
	default:
		return 0;
	}
}

/* The connection has ended: give up, or come back later. */
static void
on_end(struct chat *c)
{
	struct session *s = &c->session;
	uint64_t ms;

	c->is_open = false;
	c->was_open = c->was_open || c->link.was_up;
	session_lost(s);
	if (s->is_over || s->is_quitting) {
		s->is_over = true;
		return;
	}
	c->code = judge(c);
	c->is_given_up = c->code != 0;
	if (c->is_given_up)
		return;
	screen_take(&c->screen);
	ms = s->retry_ms > 0 ? s->retry_ms : ctl_backoff_ms(BACKOFF_MS, c->failures);
	if (c->failures == 0)
		session_note(
		    s, "the connection is lost; it is tried again in %.1f s", (double)ms / 1000);
	s->retry_ms = 0;
	c->failures++;
	c->next_try_ms = now() + ms;
	if (c->target.can_sign && ctl_target_renew(c->values[CONFIG], &c->target) != 0)
		give_up(c, EX_CONFIG); /* ours are short-lived */
	show(c);
}

/* The token ends soon: a new one of our own, or a word about it. */
static void
renew_token(struct chat *c)
{
	c->session.wants_token = false;
	if (!c->target.can_sign) {
		session_note(&c->session, "the token ends soon, and this chat with it");
		show(c);
	} else if (ctl_target_renew(c->values[CONFIG], &c->target) == 0) {
		buf_reset(&c->send);
		(void)BUF_ADD_LIT(&c->send, "{\"type\":\"refresh\""); /* failures stick */
		(void)json_add_member_string(&c->send, "token", slice_str(c->target.token));
		(void)buf_add_char(&c->send, '}');
		if (!c->send.failed)
			link_send(&c->link, buf_slice(&c->send));
	}
}

/* A link that is silent for long is asked, and in the end given up. */
static void
look_for_life(struct chat *c)
{
	uint64_t quiet = now() - c->link.heard_ms;
	uint64_t limit = max_u64(c->session.heartbeat_ms, QUIET_MS);

	if (c->link.state != LINK_UP || quiet < limit)
		return;
	if (!c->is_asked)
		link_send(&c->link, SLICE("{\"type\":\"ping\"}"));
	c->is_asked = true;
	if (quiet > limit + QUIET_MS)
		link_drop(&c->link);
}

static void
send_all(struct chat *c)
{
	buf_reset(&c->send);
	while (c->link.state == LINK_UP && session_next(&c->session, now(), &c->send) > 0) {
		link_send(&c->link, buf_slice(&c->send));
		buf_reset(&c->send);
	}
	show(c);
}

/* Nobody takes what is left, or nothing is left and nobody there to leave. */
static void
look_for_end(struct chat *c)
{
	struct session *s = &c->session;
	uint64_t since = c->ended_ms == 0 ? 0 : now() - c->ended_ms;

	if (ferror(stdout)) {
		give_up(c, EX_IOERR);
	} else if ((s->is_quitting && (!s->is_joined || since > LEAVE_MS)) ||
		   (s->is_leave_sent && since > GIVE_UP_MS)) {
		s->is_over = true;
	} else if (s->is_input_over && !s->is_joined && since > 0 && c->was_open) {
		if (s->outbox.n == 0)
			s->is_over = true;
		else if (since > GIVE_UP_MS)
			give_up(c, EX_TEMPFAIL);
	}
}

static void
wait(struct chat *c)
{
	struct pollfd fds[2] = {
	    {.fd = c->signal_fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	bool reads = c->has_input && c->session.outbox.n < OUTBOX_MAX;
	uint64_t ms = min_u64(TURN_MS, session_wait_ms(&c->session, now()));
	uint64_t t = now();

	if (!c->is_open)
		ms = c->next_try_ms > t ? min_u64(ms, c->next_try_ms - t) : 0;
	link_wait(&c->link, fds, reads ? 2 : 1, ms);
	if (fds[0].revents != 0)
		read_signal(c);
	if (reads && fds[1].revents != 0)
		read_input(c);
}

static void
run(struct chat *c)
{
	while (!c->is_given_up && !c->session.is_over) {
		if (!c->is_open && now() >= c->next_try_ms)
			open_link(c);
		link_turn(&c->link, now());
		if (c->session.wants_token)
			renew_token(c);
		send_all(c);
		look_for_life(c);
		link_turn(&c->link, now());
		if (c->is_open && c->link.state == LINK_DOWN)
			on_end(c);
		look_for_end(c);
		if (c->is_given_up || c->session.is_over)
			break;
		draw(c);
		wait(c);
	}
	/* a close frame each way, as one should (RFC 6455, 7.1.1) */
	link_close(&c->link, now());
	while (c->link.state == LINK_CLOSING) {
		link_turn(&c->link, now());
		link_wait(&c->link, NULL, 0, TURN_MS / 4);
	}
}

/* --- begin and end --- */

static int
finish(struct chat *c)
{
	struct session *s = &c->session;
	size_t unsent = session_unsent(s);
	int code = c->code != 0 ? c->code : s->code;

	show(c);
	screen_done(&c->screen);
	if (code == 0 && unsent > 0)
		code = EX_TEMPFAIL;
	/* somebody who types has seen it */
	if (code == 0 && !c->was_edited)
		code = s->refused;
	return code;
}

static int
chat(struct chat *c, uint64_t last)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGWINCH, SIGTSTP};
	const char *no_color = getenv("NO_COLOR"); /* NOLINT(concurrency-mt-unsafe): one thread */
	int code = session_init(&c->session, slice_str(c->room), last) < 0 ? ctl_no_memory() : 0;

	if (code == 0)
		code = ctl_target_find(c->values[CONFIG], &c->target);
	if (code == 0)
		code = ctl_catch_signals(signals, ARRAY_LEN(signals), &c->signal_fd);
	if (code == 0) {
		link_init(&c->link, on_message, c);
		screen_init(&c->screen,
		    c->values[NO_COLOR] == NULL && (no_color == NULL || no_color[0] == '\0'),
		    c->values[JSON] == NULL);
		c->was_edited = c->screen.is_edited;
		c->session.is_json = c->values[JSON] != NULL;
		c->session.view.is_coloured = c->screen.is_coloured;
		c->session.view.is_dated = !c->screen.is_terminal;
		c->session.view.width = c->screen.width;
		c->has_input = true;
		run(c);
		code = finish(c);
		link_done(&c->link);
	}
	if (c->signal_fd >= 0)
		(void)close(c->signal_fd); /* nothing was written to it */
	session_done(&c->session);
	return code;
}

int
ctl_chat(int argc, char **argv)
{
	struct chat *c = mem_calloc(1, sizeof(*c));
	uint64_t last = LAST;
	int code;

	if (c == NULL)
		return ctl_no_memory();
	c->signal_fd = -1;
	c->line = BUF_INIT(EDIT_LINE_MAX);
	c->send = BUF_INIT(SEND_MAX);
	code = take_arguments(c, argc, argv, &last);
	if (code == 0)
		code = chat(c, last);
	ctl_target_done(&c->target);
	buf_done(&c->line);
	buf_done(&c->send);
	mem_free(c);
	return code < 0 ? EX_OK : code;
}
