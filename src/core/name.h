/*
 * Display names that people give themselves: what of them is shown, and which of them look alike
 * (Unicode Technical Standard 39, by ICU). Pure. Any thread.
 */
#ifndef CORE_NAME_H
#define CORE_NAME_H

#include "base/buf.h"
#include "core/error.h"

#define NAME_MAX_BYTES 64   /* of a name that a user made up, cleaned */
#define NAME_KEY_MAX   4096 /* bytes of a key */

/*
 * Append the name as it is shown: normalized (NFC), each run of white space one space and none at
 * the ends, no control and no format characters (bidirectional overrides among them), at most three
 * combining marks in a row. in: any bytes.
 *
 * 0; -ENOMEM; -EINVAL with what is wrong with it in *wrong, as "is empty": nothing is appended.
 */
MUST_CHECK int name_clean(struct slice in, struct buf *out, const char **wrong);
/*
 * The same for a name that came in a request, which must have no control characters either. 0, or
 * -1 with *why, out given back.
 */
MUST_CHECK int name_take(struct slice in, struct buf *out, struct refusal *why);

/*
 * Append what names that look alike have in common: equal for names that differ only in case, in
 * spaces, in format characters or in letters that look the same ("Ada", "a d a", "Аdа" in
 * Cyrillic). 0; -EINVAL when it is not UTF-8 or grows too long by it; -ENOMEM.
 */
MUST_CHECK int name_key(struct slice name, struct buf *out);

/*
 * Whether a short text may stand for a feeling or a thing: something that is seen, and no white space,
 * control, direction or unassigned characters. in: UTF-8.
 */
bool name_is_sign(struct slice in);

#endif
