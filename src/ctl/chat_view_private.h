/*
 * Between the files of the view.
 */
#ifndef CTL_CHAT_VIEW_PRIVATE_H
#define CTL_CHAT_VIEW_PRIVATE_H

#include <errno.h>

#include "ctl/chat_view.h"

#define VIEW_LINE_MAX 1048576 /* bytes: a message, with all made visible in it */

/* A user is called so; without memory that stays unknown. */
void view_meet(struct view *v, struct slice id, struct slice name);
/* NULL: not seen, or long ago. */
struct view_message *view_find(const struct view *v, uint64_t id);
/* A message was shown, or shows something else now. */
void view_see(struct view *v, uint64_t id, struct slice from, struct slice content);
/* Whether it was made here. */
bool view_is_own(const struct view *v, uint64_t id);

#endif
