/*
 * The stand-in for src/net of the unit tests, for fuzzers: what it asserts ends the program.
 */
#ifndef TESTS_FUZZ_SUPPORT_NET_H
#define TESTS_FUZZ_SUPPORT_NET_H

#include "tests/fuzz/support.h"

#define FAKE_NET_OWN_ASSERTIONS
#define ck_assert_ptr_nonnull(p)  NEED((p) != NULL)
#define ck_assert_int_eq(a, b)    NEED((a) == (b))
#define ck_assert_msg(holds, ...) NEED(holds)

#include "tests/unit/fake_net.h"

#endif
