/* The main() of a unit test. */
#ifndef TESTS_UNIT_SUPPORT_RUN_H
#define TESTS_UNIT_SUPPORT_RUN_H

#include <check.h>
#include <stdlib.h>

/* Runs all of s, and frees it: what main returns. */
static inline int
run_suite(Suite *s)
{
	SRunner *runner = srunner_create(s);
	int n_failed;

	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* One suite, one case, from a list of tests that ends with NULL: what main returns. */
static inline int
run_tests(const char *name, const TTest *const *tests)
{
	Suite *s = suite_create(name);
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	for (; *tests != NULL; tests++)
		tcase_add_test(t, *tests);
	suite_add_tcase(s, t);
	return run_suite(s);
}

#endif
