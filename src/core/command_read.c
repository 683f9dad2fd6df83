#include "core/command_list.h"
#include "core/moderation.h"
#include "core/read_marker.h"
#include "proto/json.h"

/* The topic of `room`, which it may read, or of the only room. 0, or -1 with *why. */
static int
take_room(
    const struct session *s, const struct command *cmd, struct buf *topic, struct refusal *why)
{
	struct slice room;

	if (command_take_string(cmd, "room", &room, why) < 0 ||
	    command_room_topic(s, room, topic, why) < 0)
		return -1;
	if (room.p == NULL)
		return 0; /* it is in there */
	return moderation_may_read(s->who.hub, s->claims, buf_slice(topic), why);
}

int
command_read(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct hub *h = s->who.hub;
	struct marker_move move = {
	    .user = session_user(s), .origin = s->who.number, .is_guest = s->claims->is_guest};
	struct buf topic = BUF_INIT(ROOM_TOPIC_MAX);
	uint64_t last;
	int r = -1;

	(void)c; /* read has no answer */
	if (take_room(s, cmd, &topic, why) < 0)
		goto out;
	if (json_value_u64(json_get(cmd->json, "id"), &move.id) < 0 || move.id == 0) {
		r = refuse(why, ERROR_BAD_FIELD, "id must be a message id");
		goto out;
	}
	move.topic = buf_slice(&topic);
	/* what is not there yet cannot have been read */
	last = log_topic_last(h->log, move.topic);
	move.id = min_u64(move.id, last);
	r = 0;
	if (move.id > 0 && marker_move(h->log, &move, h->now_ms) < 0)
		r = refuse_memory(why);
out:
	buf_done(&topic);
	return r;
}
