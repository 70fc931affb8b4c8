/* A soft lease: a message that is in an agent's hands for too long goes on in a copy; the agent's bit is exchanged
 * for a late one. The agent acknowledges at any time, in time or late, or dies; it is killed anywhere, and the
 * supervisor too, which then finds what it had begun.
 *
 * From: architecture.md §3 ("Soft lease") and the order at the head of control/soft_lease.h. `entry` is the agent's
 * (layout::LateWord); the copy's letter counts as soon as the copy is committed.
 * Holds: the message is acknowledged once, by who was told so, or goes on once; what an agent reads is not freed
 * under it; a late acknowledgement is refused; nothing is left at the end.
 *
 * short  -DCRASHES=2
 * long   -DCRASHES=4
 *
 * wrong 1  the agent gives the late bit back without saying so first
 * wrong 2  the entry is written after the exchange
 * wrong 3  the copy is committed before the exchange
 * wrong 4  the delivery's bit is cleared, and no late one set
 * wrong 5  the entry is closed before the copy is committed
 * wrong 6  a late acknowledgement counts
 * wrong 7  after a kill an open entry counts as exchanged
 */
#include "kill.pml"

#define AGENT 0
#define SUPERVISOR 1
byte deaths[2];

#define D 1 /* The delivery's bit. */
#define B 2 /* The late one. */
byte holds = D;        /* Of the message; 0: free, and another's. */
#define NONE 0
#define LOANED 1       /* The supervisor's alone. */
#define COMMITTED 2
byte copy = NONE;
bool has_entry = false;
bool is_open = false;
bool returned = false;
bool is_reading = true;
bool dead = false;
bool settled = false;
bool over = false;     /* The agent's part. */
byte acknowledged = 0;
byte went_on = 0;      /* In the copy, or from a dead agent's hands. */
bool pushed = false;
bool idle = false;     /* The supervisor's part is over. */

proctype agent(byte me) {
  bool refused = false;
  atomic { may_die(); assert(holds != 0); is_reading = false }
  atomic { /* The acknowledgement. */
    may_die();
    if
    :: holds & D -> holds = holds & ~D; acknowledged++; goto done
    :: is_wrong(6) && (holds & B) -> acknowledged++
    :: else
    fi
  }
  /* Revoked. */
  if
  :: has_entry && is_open && !is_wrong(1) ->
     atomic {
       may_die();
       if
       :: has_entry && is_open -> returned = true /* By swap of the entry. */
       :: else
       fi
     }
  :: else
  fi;
  atomic { may_die(); holds = holds & ~B }
  atomic {
    may_die();
    if
    :: has_entry && !is_open -> has_entry = false; returned = false
    :: else
    fi
  }
done:
  goto end_it;
killed:
  atomic { dead = true; is_reading = false }
end_it:
  over = true
}

/* The copy is owed. */
inline send_on() {
  if
  :: is_wrong(5) -> atomic { may_die(); is_open = false }
  :: else
  fi;
  atomic {
    may_die();
    if
    :: copy == LOANED -> copy = COMMITTED; went_on++
    :: else
    fi
  }
  atomic { may_die(); is_open = false }
  atomic { may_die(); pushed = true }
}

inline undo() {
  atomic {
    may_die();
    if
    :: has_entry -> has_entry = false; is_open = false; returned = false
    :: else
    fi
  }
  atomic {
    may_die();
    if
    :: copy == LOANED -> copy = NONE
    :: else
    fi
  }
}

inline finish() {
  if
  :: has_entry && is_open ->
     /* The late bit first: who gives it back has said so before. */
     was_late = (holds & B) != 0;
     if
     :: was_late || returned || is_wrong(7) -> send_on()
     :: else -> undo()
     fi
  :: else ->
     if
     :: copy == LOANED -> atomic { may_die(); copy = NONE }
     :: copy == COMMITTED -> atomic { may_die(); pushed = true }
     :: else
     fi
  fi
}

proctype supervisor(byte me) {
  bool was_late, swapped = false;
  if
  :: skip
  :: atomic { may_die(); copy = LOANED }
     if
     :: !is_wrong(2) -> atomic { may_die(); has_entry = true; is_open = true }
     :: else
     fi;
     if
     :: is_wrong(3) -> atomic { may_die(); copy = COMMITTED; went_on++ }
     :: else
     fi;
     atomic {
       may_die();
       if
       :: (holds & D) && !is_wrong(4) -> holds = B; swapped = true
       :: (holds & D) && is_wrong(4) -> holds = 0; swapped = true; assert(!is_reading)
       :: else
       fi
     }
     if
     :: is_wrong(2) && swapped -> atomic { may_die(); has_entry = true; is_open = true }
     :: else
     fi;
     if
     :: swapped -> send_on()
     :: else -> undo()
     fi
  fi;
  goto rest;
killed: /* The next one finds what was begun. */
  swapped = false;
  finish();
rest:
  atomic {
    over;
    if
    :: !dead -> goto tidy
    :: else
    fi
  }
  /* The agent is dead: what it had in hand, and what it had late. */
  atomic {
    may_die();
    if
    :: holds & D -> holds = holds & ~D; went_on++
    :: else
    fi
  }
  atomic { may_die(); holds = holds & ~B }
tidy: /* remove_settled(), once the late bit is gone. */
  atomic {
    may_die();
    if
    :: has_entry && !is_open -> has_entry = false; returned = false
    :: else
    fi
  }
  idle = true
}

init {
  atomic {
    if
    :: deaths[AGENT] = 1
    :: skip
    fi;
    deaths[SUPERVISOR] = CRASHES;
    run agent(AGENT);
    run supervisor(SUPERVISOR)
  }
  timeout;
  assert(over && idle);
  assert(acknowledged + went_on == 1);
  assert(holds == 0 && !has_entry);
  assert(copy != LOANED && (copy == NONE || pushed))
}
