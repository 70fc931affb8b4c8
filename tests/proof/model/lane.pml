/* A lane, or with SHARED a ring whose oldest message makes room for the newest: pushers, a taker that is
 * killed anywhere, recovery that is killed and begun again anywhere, and the successor that gets the ring.
 *
 * From: ring/mpmc_ring.h, agent/source.{h,cc}, memory/evict.cc, control/settlement.cc. A slot is read and
 * swapped as one. A pusher that is killed after its swap leaves a lagging hint; before it, nothing.
 * Holds: what was pushed is taken once, in each pusher's order, or is a letter, or was dropped for a newer
 * one; nothing reaches a successor that was sent to the dead; the ring has its whole capacity at the end.
 *
 * short  -DSENDS_A=2 -DSENDS_B=1 -DCRASHES=1
 * short  -DSENDS_A=1 -DSENDS_B=1 -DCRASHES=1 -DSHARED
 * short  -DSENDS_A=1 -DSENDS_B=1 -DCRASHES=1 -DSHARED -DSLOTS=1
 * long   -DSENDS_A=3 -DSENDS_B=1 -DCRASHES=2
 * long   -DSENDS_A=2 -DSENDS_B=1 -DCRASHES=2 -DSHARED
 * long   -DSENDS_A=2 -DSENDS_B=1 -DCRASHES=2 -DSHARED -DSLOTS=1
 *
 * wrong 1  the taker empties the slot before the bit goes
 * wrong 2  the tail passes CLOSED
 * wrong 3  a push does not compare the incarnation
 * wrong 4  recovery drains before it closes
 * wrong 5  the hint moves before the push
 * wrong 6  reopening begins with the mark
 * wrong 7  a drained slot keeps its message
 * wrong 8  closing makes the oldest slot EMPTY first, then marks it with a store
 * wrong 9  a swap does not compare the turn
 * wrong 10 -DSHARED  the taker empties its slot with a store where pushers evict
 * wrong 11 -DSHARED  an evictor empties the slot before the bit goes
 * wrong 12 -DSHARED  a taken slot is emptied before its held table has it
 * wrong 13 -DSHARED  nobody finishes what a dead evictor began to drop
 * wrong 14 -DSHARED -DSLOTS=1 -DSENDS_A=1  an evictor does not ask whose the ring is
 */
#include "kill.pml"

#ifndef SLOTS
#define SLOTS 2
#endif
#define MESSAGES (SENDS_A + SENDS_B)

/* Processes. */
#define A 0
#define B 1
#define TAKER 2
#define SUPERVISOR 3
#define SUCCESSOR 4
byte deaths[5];

#define EMPTY 0
#define FULL 1
#define TAKEN 2
#define CLOSED 3

#define NOBODY 0
#define DROPPED 1 /* The evictors' owner; above it are takers. */

/* What find_tail() says. */
#define ON 0
#define OK 1
#define NO_ROOM 2
#define SHUT 3
#define STALE 4

#define OPEN 1
#define GONE 2

typedef Slot {
  byte phase;
  byte turn;
  byte low; /* EMPTY: the incarnation; FULL and TAKEN: the message. */
  byte owner
}
Slot slot[SLOTS];
byte tail_hint = SLOTS;
byte head_hint = SLOTS;
byte held = 0; /* The taker's held table, one entry. */

byte route = 1;             /* The incarnation that publishers are told; 0: nobody receives. */
byte holds[MESSAGES + 1];   /* Each message's one bit: 0 not pushed, OPEN, GONE. */
bool letter[MESSAGES + 1];  /* Kept by recovery. */
byte sent_to[MESSAGES + 1]; /* The incarnation that its pusher had been told. */
byte last_handed[2];        /* To a user, of each pusher's. */
byte pushers_over = 0;
bool taker_dead = false;
bool taker_over = false;
bool settled = false;
bool settling = false; /* A death; one at a time. */
byte ring_word = 1;    /* The directory's: the incarnation in use; 0: none. */

/* Reads a slot: one look. */
inline look(position) {
  atomic {
    may_die();
    d_step {
      v_phase = slot[(position) % SLOTS].phase;
      v_turn = slot[(position) % SLOTS].turn;
      v_low = slot[(position) % SLOTS].low;
      v_owner = slot[(position) % SLOTS].owner
    }
  }
}

/* Writes it if it is as look() saw it. */
#define is_as_seen(s) (s.phase == v_phase && (s.turn == v_turn || is_wrong(9)) && s.low == v_low && s.owner == v_owner)
inline write(position, to_phase, to_turn, to_low, to_owner) {
  slot[(position) % SLOTS].phase = to_phase;
  slot[(position) % SLOTS].turn = to_turn;
  slot[(position) % SLOTS].low = to_low;
  slot[(position) % SLOTS].owner = to_owner
}
inline swap(position, to_phase, to_turn, to_low, to_owner) {
  atomic {
    may_die();
    d_step {
      swapped = is_as_seen(slot[(position) % SLOTS]);
      if
      :: swapped -> write(position, to_phase, to_turn, to_low, to_owner)
      :: else
      fi
    }
  }
}
inline store(position, to_phase, to_turn, to_low, to_owner) {
  atomic {
    may_die();
    d_step { write(position, to_phase, to_turn, to_low, to_owner); swapped = true }
  }
}

inline forget() { v_phase = 0; v_turn = 0; v_low = 0; v_owner = 0; at = 0; outcome = 0; swapped = false }

inline find_tail(incarnation) {
  atomic { may_die(); at = tail_hint }
  do
  :: atomic {
       look(at);
       d_step {
         if
         :: v_phase == CLOSED && !is_wrong(2) -> outcome = SHUT
         :: v_phase == CLOSED && is_wrong(2) -> at++; outcome = ON
         :: v_phase != CLOSED && v_turn == at / SLOTS && v_phase != EMPTY -> at++; outcome = ON /* The hint lags. */
         :: v_phase != CLOSED && v_turn == at / SLOTS && v_phase == EMPTY ->
            outcome = (v_low == incarnation || is_wrong(3) -> OK : STALE)
         :: v_phase != CLOSED && v_turn + 1 == at / SLOTS && v_phase != EMPTY -> outcome = NO_ROOM
         :: v_phase != CLOSED && v_turn > at / SLOTS -> /* The hint is more than a lap old. */
            at = (v_phase == EMPTY -> v_turn - 1 : v_turn) * SLOTS + at % SLOTS + 1;
            outcome = ON
         :: else -> assert(false) /* The hint leads, which it never does. */
         fi
       }
       if
       :: outcome != ON -> break
       :: outcome == ON && at - tail_hint > 4 * SLOTS -> assert(is_wrong(2)); outcome = SHUT; break
       :: else
       fi
     }
  od
}

/* By swap: clearing it twice is harmless. */
inline release(m) { atomic { may_die(); holds[m] = GONE } }

proctype pusher(byte me; byte first; byte count) {
  byte m = first;
  byte known; /* The incarnation from the route. */
  byte at, outcome, v_phase, v_turn, v_low, v_owner;
  bool swapped;
  do
  :: m == first + count -> goto over
  :: m < first + count ->
     known = route;
     if
     :: known == 0 -> goto next
     :: else
     fi;
     if
     :: d_step { /* The hints promise room: the slot is not looked at. */
          tail_hint - head_hint < SLOTS;
          at = tail_hint;
          v_phase = EMPTY; v_turn = at / SLOTS; v_low = known; v_owner = NOBODY;
          outcome = OK
        }
     :: find_tail(known)
     fi;
     do
     :: outcome == OK ->
        if
        :: is_wrong(5) -> tail_hint = at + 1
        :: else
        fi;
        atomic {
          swap(at, FULL, at / SLOTS, m, NOBODY);
          if
          :: swapped -> holds[m] = OPEN; sent_to[m] = known
          :: else
          fi
        }
        if
        :: swapped ->
           if
           :: tail_hint = at + 1
           :: goto dead /* Killed before: nothing but the hint is wrong. */
           fi;
           break
        :: else -> find_tail(known)
        fi
#ifdef SHARED
     :: outcome == NO_ROOM ->
        if
        :: ring_word != known && !is_wrong(14) -> break
        :: else
        fi;
        if
        :: v_phase == FULL ->
           swap(at, TAKEN, v_turn, v_low, DROPPED);
           if
           :: swapped -> atomic { v_phase = TAKEN; v_owner = DROPPED }
           :: else -> goto again
           fi
        :: else
        fi;
        if
        :: v_phase == TAKEN && v_owner != DROPPED ->
           if
           :: is_wrong(12) -> swap(at, EMPTY, v_turn + 1, known, NOBODY)
           :: else
           fi;
           if
           :: atomic { held == 0 || holds[held] != OPEN -> held = v_low } /* An entry whose bit is gone counts as empty. */
           :: else -> break /* Stuck: the taker has as much as it may. */
           fi
        :: v_phase == TAKEN && v_owner == DROPPED ->
           if
           :: is_wrong(11) -> swap(at, EMPTY, v_turn + 1, known, NOBODY)
           :: else
           fi;
           if
           :: release(v_low)
           :: goto dead
           fi
        :: else
        fi;
        swap(at, EMPTY, v_turn + 1, known, NOBODY);
again:  find_tail(known)
#endif
     :: else -> break
     od;
next:
     atomic { m++; known = 0; forget() }
  od;
killed:
dead:
#ifdef SHARED
  /* Recovery finishes what it had begun to drop. */
  atomic { !settling -> settling = true; m = 0; known = 0; forget() }
  for (at : 0 .. SLOTS - 1) {
    look(at);
    if
    :: v_phase == TAKEN && v_owner == DROPPED && !is_wrong(13) ->
       release(v_low);
       swap(at, EMPTY, v_turn + 1, ring_word, NOBODY)
    :: else
    fi
  }
  settling = false;
#endif
over:
  atomic { pushers_over++; m = 0; known = 0; forget() }
}

/* What a taker takes with the message's bit still there goes to its user. */
inline hand_over() {
  assert(sent_to[v_low] == mine);
  assert(last_handed[v_low > SENDS_A] < v_low);
  last_handed[v_low > SENDS_A] = v_low
}

proctype taker(byte me; byte mine) {
  byte at, outcome, v_phase, v_turn, v_low, v_owner;
  bool swapped;
end:
  (mine == 1 || settled);
  at = head_hint;
  do
  :: atomic {
       if
       :: pushers_over == 2 -> outcome = SHUT
       :: else
       fi;
       look(at);
#ifndef SHARED
       if
       :: v_phase == FULL && v_turn == at / SLOTS && holds[v_low] == OPEN -> hand_over()
       :: v_phase == FULL && v_turn == at / SLOTS && holds[v_low] != OPEN /* Finished before. */
       :: else -> goto nothing
       fi
     }
     if
     :: is_wrong(1) -> store(at, EMPTY, v_turn + 1, mine, NOBODY)
     :: else
     fi;
     release(v_low);
     store(at, EMPTY, v_turn + 1, mine, NOBODY);
     atomic { may_die(); at++; head_hint = at; v_phase = 0; v_turn = 0; v_low = 0 }
#else
       if
       :: v_turn > at / SLOTS || (v_turn == at / SLOTS && v_phase == TAKEN) -> at++; goto on /* Evicted. */
       :: v_phase == FULL && v_turn == at / SLOTS
       :: else -> goto nothing
       fi
     }
     atomic {
       swap(at, TAKEN, v_turn, v_low, me);
       if
       :: swapped -> v_phase = TAKEN; v_owner = me; assert(holds[v_low] == OPEN); hand_over()
       :: else -> goto on
       fi
     }
     release(v_low);
     if
     :: is_wrong(10) -> store(at, EMPTY, v_turn + 1, mine, NOBODY)
     :: else -> swap(at, EMPTY, v_turn + 1, mine, NOBODY)
     fi;
     atomic {
       may_die();
       if
       :: !swapped && held == v_low -> held = 0 /* A pusher moved it on. */
       :: else
       fi;
       at++
     }
     atomic { may_die(); head_hint = at }
on:  atomic { v_phase = 0; v_turn = 0; v_low = 0; v_owner = 0; swapped = false }
#endif
     goto round;
nothing:
     atomic {
       if
       :: outcome == SHUT -> forget(); taker_over = true; goto over
       :: else -> v_phase = 0; v_turn = 0; v_low = 0; v_owner = 0
       fi
     }
round:
     skip
  od;
killed:
  atomic { forget(); taker_dead = true }
over:
  skip
}

inline give_up(m) {
  if
  :: holds[m] == OPEN && !letter[m] -> atomic { may_die(); letter[m] = true }
  :: else
  fi
}

proctype recovery(byte me) {
  byte at, outcome, v_phase, v_turn, v_low, v_owner, i, newest;
  bool swapped, last;
end:
  atomic { taker_dead && !settling -> settling = true; route = 0 }
killed: /* And begun again. */
  atomic { forget(); i = 0; newest = 0; last = false }
  if
  :: is_wrong(4) -> goto drain
  :: else
  fi;
close:
  find_tail(0); /* Any incarnation will do: Stale is an EMPTY tail too. */
  if
  :: outcome == SHUT -> goto drain
  :: outcome == NO_ROOM && v_owner != DROPPED -> give_up(v_low)
  :: outcome == NO_ROOM && v_owner == DROPPED -> release(v_low)
  :: else
  fi;
  if
  :: is_wrong(8) && outcome == NO_ROOM ->
     swap(at, EMPTY, v_turn + 1, 1, NOBODY);
     store(at, CLOSED, at / SLOTS, 0, NOBODY)
  :: else -> swap(at, CLOSED, at / SLOTS, 0, NOBODY)
  fi;
  if
  :: !swapped -> goto close
  :: else
  fi;
drain:
  if
  :: is_wrong(4) && outcome != 0 -> goto reopen
  :: else
  fi;
  do
  :: i < SLOTS ->
     look(i);
     if
     :: v_phase == FULL || v_phase == TAKEN ->
        if
        :: v_owner == DROPPED -> release(v_low)
        :: else -> give_up(v_low)
        fi;
        if
        :: is_wrong(7) -> i++
        :: else ->
           swap(i, CLOSED, v_turn, 0, NOBODY);
           atomic {
             if
             :: swapped -> i++
             :: else
             fi
           }
        fi
     :: else -> i++
     fi
  :: i == SLOTS -> break
  od;
  if
  :: is_wrong(4) -> goto close
  :: else
  fi;
reopen:
  atomic { may_die(); ring_word = 0 }
#ifdef SHARED
  if
  :: held != 0 -> give_up(held); atomic { may_die(); held = 0 }
  :: else
  fi;
#endif
  atomic {
    forget();
    newest = slot[0].turn;
    for (i : 1 .. SLOTS - 1) {
      newest = (slot[i].turn > newest -> slot[i].turn : newest)
    }
    last = is_wrong(6)
  }
again:
  i = SLOTS;
  do
  :: i > 0 ->
     look(i - 1);
     if
     :: (v_phase == CLOSED && !last) || (is_wrong(6) && v_phase != CLOSED && last) -> i--
     :: else ->
        if
        :: v_phase == FULL && holds[v_low] == OPEN ->
           assert(false); /* Where a stale pusher gets in, what it brings is released: somebody was told Ok. */
           release(v_low)
        :: else
        fi;
        swap(i - 1, EMPTY, newest + 1, 2, NOBODY);
        atomic {
          if
          :: swapped -> i--
          :: else
          fi
        }
     fi
  :: i == 0 -> break
  od;
  if
  :: last == is_wrong(6) -> last = !last; goto again
  :: else
  fi;
  atomic { may_die(); head_hint = (newest + 1) * SLOTS }
  atomic { may_die(); tail_hint = (newest + 1) * SLOTS }
  atomic { settled = true; route = 2; ring_word = 2; settling = false; forget(); newest = 0; last = false }
}

init {
  byte i;
  atomic {
    for (i : 0 .. SLOTS - 1) {
      slot[i].turn = 1;
      slot[i].low = 1
    }
    deaths[TAKER] = 1;
    deaths[SUPERVISOR] = CRASHES;
    run taker(TAKER, 1);
    run pusher(A, 1, SENDS_A);
    run pusher(B, SENDS_A + 1, SENDS_B);
    run recovery(SUPERVISOR);
    run taker(SUCCESSOR, 2)
  }
  atomic {
    pushers_over == 2 && taker_over;
    for (i : 1 .. MESSAGES) {
      assert(holds[i] != OPEN || letter[i]) /* Nothing is lost. */
    }
    for (i : 0 .. SLOTS - 1) {
      assert(slot[i].phase == EMPTY && slot[i].low == route);
      assert(i == 0 || slot[i].turn == slot[i - 1].turn || slot[i].turn + 1 == slot[i - 1].turn)
    }
  }
}
