/*
 * One table of commands (docs/wire.md, "The messages"): name, handler; the same for WebSocket
 * frames and POST /chat/{session}. Worker thread only.
 */
#ifndef CORE_COMMAND_H
#define CORE_COMMAND_H

#include "core/session.h"
#include "proto/json.h"

/* A command being carried out. */
struct command {
	struct json_flat *json; /* an object */
	struct slice ref;       /* JSON text of `ref`; absent: none */
};

/*
 * Parse one client message and carry it out. The answer, or the refusal, goes to c now or
 * later. text is borrowed.
 */
void command_run(struct session *s, struct caller *c, struct slice text);
/* A chat message in plain text (format=text, POST text/plain). */
void command_say(struct session *s, struct caller *c, struct slice content);

/* One message more of it: limits.messages_per_second. 0, or -1 with *why. */
MUST_CHECK int command_rate(struct session *s, struct refusal *why);
/* Far beyond limits.messages_per_second for long: close it (4429). */
bool command_is_flooding(const struct session *s);

#endif
