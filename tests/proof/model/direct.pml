/* A direct lane beside a ring: one publisher, whose commits wait in its store buffer (x86's order), one member,
 * which puts the two in order by sequence; either is killed anywhere, and recovery too.
 *
 * From: agent/direct_lane.{h,cc}, direct_send.cc, direct_inbox.{h,cc}, inbox_take.cc (take_lane), control/
 * settlement_direct.cc. The slab has two chunks; a push into the ring is a swap. A member's own death of bits: the
 * letters are left out, what recovery releases is accounted for.
 * Holds: the member gets everything once and in the order in which it was sent; after a death no bit is left
 * that nobody answers for, be the publisher busy, idle or dead.
 *
 * short  -DSENDS=4 -DCRASHES=1
 * long   -DSENDS=7 -DCRASHES=2
 *
 * wrong 1  recovery brings no fence between the epoch and its look
 * wrong 2  the publisher does not look at the epoch after its commit
 * wrong 3  the publisher looks at the epoch before its commit
 * wrong 4  recovery releases the bits, then moves the epoch
 * wrong 5  nobody releases what a dead publisher left to a dead member
 * wrong 6  the member looks into the ring, then at the lane
 * wrong 7  the member does not look for an earlier one before it takes from the ring
 * wrong 8  the member takes what has a gap before it
 */
#include "kill.pml"

#define PUBLISHER 0
#define MEMBER 1
#define SUPERVISOR 2
byte deaths[3];

byte chunk[2];         /* The sequence of the message that bears the member's bit; 0: free. */
byte buffered = 0;     /* A commit under way to memory: its sequence, and where. */
byte buffered_at = 0;
byte ring[SENDS + 1];  /* Pushed, in order. */
byte tail = 0;
byte head = 0;
bool closed = false;
byte epoch = 0;
bool is_live = true;
bool entry = true;     /* In the member's block. */
bool dead[2];
bool settled[2];
byte last_taken = 0;
bool publisher_over = false;

#define drain() if :: buffered != 0 -> chunk[buffered_at] = buffered; buffered = 0 :: else fi

active proctype memory() {
end:
  do
  :: atomic { buffered != 0 -> drain() }
  od
}

proctype publisher(byte me) {
  byte sequence = 0, cursor = 0, known = 0, now = 0;
end:
  do
  :: atomic { deaths[me] > 0 -> deaths[me]--; goto killed }
  :: sequence == SENDS -> break
  :: sequence < SENDS ->
     if
     :: epoch != known -> /* It resolves again: nobody is there, and the lane is closed. */
        atomic {
          may_die();
          drain();
          if
          :: entry -> entry = false; goto over /* Ended: the member drains it. */
          :: else -> now = 0
          fi
        }
        do
        :: now < 2 -> atomic { may_die(); chunk[now] = 0; now++ }
        :: else -> break
        od;
        goto over
     :: else
     fi;
     sequence++;
     if
     :: atomic { chunk[cursor] == 0 && buffered == 0 -> now = epoch }
        atomic { may_die(); buffered = sequence; buffered_at = cursor }
        atomic {
          may_die();
          if
          :: !is_wrong(3) -> now = epoch
          :: else
          fi
        }
        if
        :: now != known && !is_live && !is_wrong(2) ->
           atomic { /* By swap: the buffer is empty first. */
             may_die();
             drain();
             if
             :: chunk[cursor] == sequence -> chunk[cursor] = 0
             :: else
             fi
           }
        :: else
        fi;
        cursor = 1 - cursor
     :: atomic { /* Through the ring: it does not fit, or the chunk is held still. */
          may_die();
          drain();
          if
          :: !closed -> ring[tail] = sequence; tail++
          :: else
          fi
        }
     fi
  od;
  goto over;
killed:
  atomic { drain(); dead[0] = true; sequence = 0; cursor = 0; known = 0; now = 0 }
over:
  atomic { publisher_over = true }
}

inline took(number) {
  assert(number > last_taken);
  assert(number == last_taken + 1);
  last_taken = number
}

proctype member(byte me) {
  byte cursor = 0, found = 0, first = 0;
end:
  do
  :: atomic { deaths[me] > 0 -> deaths[me]--; goto killed }
  :: (!publisher_over || chunk[cursor] > last_taken || head < tail) -> /* It looks again and again. */
     if
     :: is_wrong(6) -> first = (head < tail -> ring[head] : 0)
     :: else
     fi;
     found = (chunk[cursor] > last_taken -> chunk[cursor] : 0);
     if
     :: !is_wrong(6) -> first = (head < tail -> ring[head] : 0)
     :: else
     fi;
     if
     :: found != 0 && (first == 0 || found == last_taken + 1 || is_wrong(8)) -> goto lane
     :: else
     fi;
     if
     :: first == 0 -> goto round
     :: else
     fi;
     found = (chunk[cursor] > last_taken && !is_wrong(7) -> chunk[cursor] : 0);
     if
     :: found != 0 && found < first -> goto lane
     :: else
     fi;
     atomic { may_die(); took(first); head++ }
     goto round;
lane:
     atomic { may_die(); took(found) }
     atomic { may_die(); chunk[cursor] = 0; cursor = 1 - cursor }
round:
     atomic { found = 0; first = 0 }
  od;
killed:
  atomic { dead[1] = true; cursor = 0; found = 0; first = 0 }
}

proctype recovery(byte me) {
  byte i = 0, whose = 2;
end:
  do
  :: atomic { dead[1] && !settled[1] -> whose = 1 }
again_member:
     if
     :: is_wrong(4) -> goto look
     :: else
     fi;
move:
     atomic { may_die(); is_live = false; closed = true }
     atomic { may_die(); epoch = 1 }
     if
     :: is_wrong(4) -> goto done_member
     :: else
     fi;
look:
     atomic {
       may_die();
       if
       :: !is_wrong(1) -> drain()
       :: else
       fi
     }
     if
     :: entry ->
        i = 0;
        do
        :: i < 2 -> atomic { may_die(); chunk[i] = 0; i++ }
        :: else -> break
        od;
        atomic { may_die(); entry = false }
     :: else -> /* The publisher has ended it: it is drained all the same. */
        i = 0;
        do
        :: i < 2 -> atomic { may_die(); chunk[i] = 0; i++ }
        :: else -> break
        od
     fi;
     if
     :: is_wrong(4) -> goto move
     :: else
     fi;
done_member:
     atomic { settled[1] = true; whose = 2; i = 0 }
     goto round;
  :: atomic { dead[0] && !settled[0] -> whose = 0 }
again_publisher:
     i = 0;
     do
     :: i < 2 ->
        if
        :: chunk[i] != 0 && !entry && !is_live && !is_wrong(5) -> atomic { may_die(); chunk[i] = 0 }
        :: else
        fi;
        i++
     :: else -> break
     od;
     atomic { may_die(); settled[0] = true; whose = 2; i = 0 }
     goto round;
killed:
     i = 0;
     if
     :: whose == 1 -> goto again_member
     :: else -> goto again_publisher
     fi;
round:
     skip
  od
}

init {
  atomic {
    if
    :: deaths[PUBLISHER] = 1
    :: skip
    fi;
    if
    :: deaths[MEMBER] = 1
    :: skip
    fi;
    deaths[SUPERVISOR] = CRASHES;
    run publisher(PUBLISHER);
    run member(MEMBER);
    run recovery(SUPERVISOR)
  }
  timeout;
  assert(publisher_over);
  assert(is_live || (chunk[0] == 0 && chunk[1] == 0));
  assert(!is_live || dead[0] || last_taken == SENDS);
  assert(!is_live || (chunk[0] == 0 && chunk[1] == 0 && head == tail))
}
