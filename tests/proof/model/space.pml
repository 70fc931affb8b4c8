/* A full ring: publishers that wait for room, and the taker, which empties slots with a plain store and then
 * loads the word that says whether anybody waits. Its store waits in its store buffer (x86's order) until
 * something locked, or a fence of somebody else's.
 *
 * From: ring/space.{h,cc}, agent/source.{h,cc} (emptied). A publisher that gives up after 50 ms of sleep and
 * looks again is left out: it would hide what is wrong.
 * Holds: nobody is asleep for good where there is room; also when a waiting publisher is killed.
 *
 * short  -DWAITERS=2 -DMESSAGES=4
 * short  -DWAITERS=2 -DMESSAGES=2
 * long   -DWAITERS=3 -DMESSAGES=6
 *
 * wrong 1  the waiter leaves the fence out
 * wrong 2  the taker wakes, then clears that somebody waits
 * wrong 3  the taker does not move the word
 * wrong 4  the waiter looks for room before it says that it waits
 * wrong 5  the taker wakes one of them
 * wrong 6  the waiter reads the word after its last look
 * wrong 7 -DMESSAGES=2  the taker looks for waiters before it empties the slot
 */
#include "kill.pml"

#define TAKER WAITERS
byte deaths[WAITERS + 1];

byte room = 0;       /* Empty slots in memory; the ring is full at first. */
byte buffered = 0;   /* The taker's stores under way. */
byte messages = MESSAGES;
bool waiters = false;
byte space_word = 0;
bool is_asleep[WAITERS];
byte over = 0;

#define drain() room = room + buffered; buffered = 0

active proctype memory() {
end:
  do
  :: atomic { buffered > 0 -> room++; buffered-- }
  od
}

proctype publisher(byte me) {
  byte word;
  do
  :: atomic { room > 0 -> room--; break } /* The push, by swap. */
  :: atomic { room == 0 -> skip }
     if
     :: is_wrong(4) && room > 0 -> goto again
     :: else
     fi;
     atomic { may_die(); word = space_word }
     atomic { may_die(); waiters = true }
     atomic {
       may_die();
       if
       :: !is_wrong(1) -> drain()
       :: else
       fi
     }
     if
     :: room > 0 && !is_wrong(4) -> goto again
     :: else
     fi;
     atomic {
       may_die();
       if
       :: is_wrong(6) -> word = space_word
       :: else
       fi
     }
     atomic {
       if
       :: space_word == word -> is_asleep[me] = true
       :: else -> goto again
       fi
     }
end: !is_asleep[me];
again:
     word = 0
  od;
killed:
  atomic { over++; word = 0 }
}

inline wake() {
  atomic { /* One syscall. */
    drain();
    i = 0;
    do
    :: i < WAITERS ->
       if
       :: is_asleep[i] && is_wrong(5) -> is_asleep[i] = false; break
       :: else -> is_asleep[i] = false; i++
       fi
    :: else -> break
    od;
    i = 0
  }
}

proctype taker(byte me) {
  byte i;
  bool seen;
  do
  :: messages > 0 ->
     if
     :: is_wrong(7) -> seen = waiters
     :: else
     fi;
     atomic { messages--; buffered++ }
     if
     :: !is_wrong(7) -> seen = waiters
     :: else
     fi;
     if
     :: seen && !is_wrong(2) ->
        waiters = false;
        atomic { /* Locked. */
          drain();
          if
          :: !is_wrong(3) -> space_word++
          :: else
          fi
        }
        wake()
     :: seen && is_wrong(2) ->
        atomic { drain(); space_word++ }
        wake();
        waiters = false
     :: else
     fi;
     seen = false
  :: else -> break
  od
}

init {
  byte i;
  atomic {
    for (i : 0 .. WAITERS - 1) {
      deaths[i] = 1;
      run publisher(i)
    }
    run taker(TAKER)
  }
  timeout;
  assert(room == 0 || over == WAITERS)
}
