/* A doorbell: senders that push and ring, a receiver that arms, looks and sleeps in the kernel, and the
 * supervisor, which rings for a sender that was killed. Without swaps (CHANNEL) a sender's stores wait in its
 * store buffer (x86's order) until it does something locked, or a fence of somebody else's reaches it.
 *
 * From: ring/doorbell.{h,cc}, agent/channel_core.cc, agent/publisher_core.cc, control/settlement.cc
 * (wake_sleepers). A futex compares and goes to sleep in one step. Recovery may be killed and begun again.
 * Holds: nobody is asleep for good on a message.
 *
 * short  -DSENDERS=1 -DSENDS=2 -DKILLS=1 -DCRASHES=1
 * short  -DSENDERS=2 -DSENDS=1 -DKILLS=1 -DCRASHES=1
 * short  -DSENDERS=1 -DSENDS=3 -DKILLS=1 -DCRASHES=1 -DCHANNEL
 * long   -DSENDERS=2 -DSENDS=2 -DKILLS=1 -DCRASHES=2
 * long   -DSENDERS=1 -DSENDS=6 -DKILLS=1 -DCRASHES=2 -DCHANNEL
 *
 * wrong 1  -DCHANNEL  the sleeper leaves the fence out
 * wrong 2  the sender rings, then pushes
 * wrong 3  the sleeper looks, then arms
 * wrong 4  ringing leaves the word as it is
 * wrong 5  nobody rings for the dead
 * wrong 6  a sender remembers that it rang, not for which sleep
 * wrong 7  a word that bears `rung` is left to who set it, at a death too
 */
#include "kill.pml"

#define RECEIVER SENDERS
#define SUPERVISOR (SENDERS + 1)
byte deaths[SENDERS + 2];

byte pushed = 0;          /* Messages in memory. */
byte buffered[SENDERS];   /* Stores of messages that are under way to it. */
byte taken = 0;
byte sleep_number = 0;    /* The bell: number, armed, rung. */
bool armed = false;
bool rung = false;
bool is_asleep = false;
byte senders_over = 0;
byte dead_count = 0;
bool owed[3];             /* A death that is not settled. */

#define drain(who) pushed = pushed + buffered[who]; buffered[who] = 0

inline push() {
  atomic {
    may_die();
#ifdef CHANNEL
    buffered[me]++
#else
    pushed++ /* By swap. */
#endif
  }
}

inline drain_mine() {
  if
  :: me < SENDERS -> drain(me)
  :: else
  fi
}

/* A store leaves the buffer when it likes, the oldest first. */
#ifdef CHANNEL
active proctype memory() {
end:
  do
  :: atomic { buffered[0] > 0 -> pushed++; buffered[0]-- }
  od
}
#endif

/* ring_doorbell(). `number`: the sleep that was seen. */
inline ring() {
  atomic {
    may_die();
    if
    :: armed && (sleep_number != last_rung || (is_wrong(6) && last_rung == 255)) -> last_rung = sleep_number
    :: else -> goto quiet
    fi
  }
  atomic { /* The swap: locked, and the buffer is empty after it. */
    may_die();
    drain_mine();
    if
    :: armed && sleep_number == last_rung ->
       if
       :: rung && is_wrong(7) -> goto quiet
       :: !is_wrong(4) -> rung = true
       :: else
       fi
    :: else -> goto quiet /* It is awake. */
    fi
  }
  atomic { may_die(); is_asleep = false }
quiet:
  skip
}

proctype sender(byte me) {
  byte sent = 0;
  byte last_rung = 0;
  do
  :: sent < SENDS ->
     sent++;
     if
     :: !is_wrong(2) -> push()
     :: else
     fi;
     atomic {
       if
       :: is_wrong(6) && last_rung != 0 -> goto rung_before
       :: else
       fi
     }
     ring();
rung_before:
     if
     :: is_wrong(2) -> push()
     :: else
     fi
  :: else -> break
  od;
  goto over;
killed:
  atomic { drain(me); owed[me] = true } /* What was stored is stored. */
over:
  atomic { drain(me); senders_over++; sent = 0; last_rung = 0 }
}

proctype receiver(byte me) {
  do
  :: taken == SENDERS * SENDS -> break
  :: atomic { pushed > taken -> taken++ }
  :: atomic { pushed == taken && taken < SENDERS * SENDS && !is_wrong(3) -> skip }
     atomic { sleep_number++; armed = true; rung = false } /* By swap. */
arm:
#ifdef CHANNEL
     if
     :: !is_wrong(1) -> atomic { drain(0) } /* Every processor passes a full fence. */
     :: else
     fi;
#endif
     if
     :: pushed > taken && !is_wrong(3) -> goto awake
     :: else
     fi;
     atomic {
       if
       :: armed && !rung -> is_asleep = true
       :: else -> goto awake
       fi
     }
end_asleep:
     !is_asleep;
awake:
     atomic { armed = false; rung = false }
  :: atomic { is_wrong(3) && pushed == taken && taken < SENDERS * SENDS -> skip }
     atomic { sleep_number++; armed = true; rung = false }
     goto arm
  od
}

proctype supervisor(byte me) {
  byte last_rung, i;
end:
  do
  :: atomic { owed[0] || owed[1] || owed[2] -> i = (owed[0] -> 0 : (owed[1] -> 1 : 2)) }
again:
     if
     :: pushed > taken && !is_wrong(5) -> last_rung = 0; ring()
     :: else
     fi;
     atomic { may_die(); owed[i] = false; last_rung = 0; i = 0 }
     goto round;
killed: /* Another one finds the same. */
     last_rung = 0;
     goto again;
round:
     skip
  od
}

init {
  byte i;
  atomic {
    for (i : 0 .. SENDERS - 1) {
      deaths[i] = KILLS;
      run sender(i)
    }
    deaths[SUPERVISOR] = CRASHES;
    run receiver(RECEIVER);
    run supervisor(SUPERVISOR)
  }
  timeout;
  assert(senders_over == SENDERS);
  assert(pushed == taken || !is_asleep)
}
