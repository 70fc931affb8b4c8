/* Death in a model: every step that others can see begins with may_die(), in one atomic step with it. So a
 * process can be killed before each of its steps, as long as its budget lasts; it goes to its label `killed`.
 * `me` names the process. */
#ifndef VARIANT
#define VARIANT 0
#endif
#define is_wrong(n) (VARIANT == n)

inline may_die() {
  if
  :: true
  :: deaths[me] > 0 -> deaths[me]--; goto killed
  fi
}
