/* A send to two receivers, by a publisher that keeps no bit of its own: its intent record says what recovery has
 * to finish. Publisher and first receiver are killed anywhere, and recovery too. The chunk is used again: by the
 * publisher, and by whoever takes its slab after its death.
 *
 * From: agent/publisher_core.cc, publisher_push.cc, agent/inbox.cc (release), control/settlement.cc (settle_send,
 * drain_ring, drain_held, settle_slabs), control/delivery.cc (complete), control/dead_letters.h. A lane has one
 * slot; closing it is one step here (lane.pml has the rest).
 * Holds: what is committed reaches each receiver once, or is a letter once, or its publisher is told that there
 * was no room; what is not committed reaches nobody; and no bit is left that nothing answers for.
 *
 * short  -DCRASHES=1
 * long   -DCRASHES=2
 *
 * wrong 1  the intent is cleared before the pushes
 * wrong 2  the intent is written after the commit
 * wrong 3  recovery does not look into the held table
 * wrong 4  recovery looks into the held table, then into the lane
 * wrong 5  recovery takes the intent's word for the generation, and for the slab
 * wrong 6  recovery clears the intent before its pushes
 * wrong 7  a receiver empties its slot before the held table has the message
 * wrong 8  recovery empties the slot before the letter is there
 * wrong 9  the commit sets one bit after the other
 */
#include "kill.pml"

#define PUBLISHER 0
#define DYING 1
#define LIVING 2
#define SUPERVISOR 3
#define ADOPTER 4
byte deaths[5];

#define LAST 3         /* Generations that are sent. */
#define P 4            /* The publisher's hold; receiver r's is 1 << r. */

byte generation = 1;   /* The chunk's holders, one word. */
byte holds = 0;
byte committed[LAST + 2];
byte told[8];          /* told[2 * g + r]: its publisher or an heir released the bit: it said so to its user. */
bool letter[8];
bool handed[8];

byte intent_root = 0;  /* 0, or 1: the chunk. */
byte intent_generation = 0;
byte lane[2];          /* The generation that lies there. */
bool closed[2];
byte held[2];
bool dead[2];          /* The publisher; the dying receiver. */
bool orphan = false;   /* The slab. */
bool over = false;

#define has_bit(g, r) (generation == (g) && ((holds >> (r)) & 1))
#define at(g, r) (2 * (g) + (r))

/* Clears the bit by swap; the last one makes the chunk free. */
inline release(g, r) {
  if
  :: has_bit(g, r) ->
     holds = holds & ~(1 << (r));
     if
     :: holds == 0 -> generation++
     :: else
     fi
  :: else
  fi
}

inline send(to_bits) {
  atomic { may_die(); holds = P; g = generation }
  if
  :: mine && !is_wrong(2) ->
     atomic { may_die(); intent_generation = g }
     atomic { may_die(); intent_root = 1 }
  :: else
  fi;
  if
  :: is_wrong(9) -> atomic { may_die(); holds = 1; committed[g] = to_bits }
  :: else
  fi;
  atomic { may_die(); holds = to_bits; committed[g] = to_bits }
  if
  :: mine && is_wrong(2) ->
     atomic { may_die(); intent_generation = g }
     atomic { may_die(); intent_root = 1 }
  :: mine && is_wrong(1) -> atomic { may_die(); intent_root = 0 }
  :: else
  fi;
  r = 0;
  do
  :: r < 2 && !((to_bits >> r) & 1) -> r++
  :: r < 2 && ((to_bits >> r) & 1) ->
     atomic {
       may_die();
       if
       :: !closed[r] && lane[r] == 0 -> lane[r] = g; r++
       :: else -> goto no_room
       fi
     }
     goto next;
no_room:
     atomic { may_die(); told[at(g, r)] = 1; release(g, r); r++ }
next:
     skip
  :: else -> break
  od;
  if
  :: mine -> atomic { may_die(); intent_root = 0 }
  :: else
  fi
}

proctype publisher(byte me; bool mine) {
  byte g, r;
end:
  do
  :: atomic { holds == 0 && generation < LAST -> skip }
     send(3);
     atomic { g = 0; r = 0 }
  :: generation >= LAST -> break
  :: atomic { deaths[me] > 0 -> deaths[me]--; goto killed }
  od;
  goto done;
killed:
  atomic { dead[0] = true; g = 0; r = 0 }
done:
  skip
}

/* Who takes the slab of the dead publisher loans what is free, and sends it to the living receiver. */
proctype adopter(byte me; bool mine) {
  byte g, r;
end:
  atomic { orphan && holds == 0 && generation <= LAST -> skip }
  send(2);
killed:
  skip
}

proctype receiver(byte me; byte self) {
  byte g;
end:
  do
  :: atomic { deaths[me] > 0 -> deaths[me]--; goto killed }
  :: atomic { held[self] != 0 -> may_die(); release(held[self], self) }
     atomic { may_die(); held[self] = 0 }
  :: atomic {
       lane[self] != 0 -> g = lane[self];
       if
       :: has_bit(g, self) -> assert(!handed[at(g, self)] && committed[g]); handed[at(g, self)] = true
       :: else -> goto aside /* Finished before. */
       fi
     }
     if
     :: atomic { may_die(); release(g, self) }
        atomic { may_die(); lane[self] = 0; g = 0 }
     :: held[self] == 0 -> /* Kept beyond its slot, while others are taken. */
        if
        :: is_wrong(7) -> atomic { may_die(); lane[self] = 0 }
        :: else
        fi;
        atomic { may_die(); held[self] = g }
        atomic { may_die(); lane[self] = 0; g = 0 }
     fi;
     goto round;
aside:
     atomic { may_die(); lane[self] = 0; g = 0 }
round:
     skip
  od;
killed:
  atomic { dead[1] = true; g = 0 }
}

inline keep(g, r) {
  if
  :: has_bit(g, r) && !letter[at(g, r)] -> atomic { may_die(); letter[at(g, r)] = true }
  :: else
  fi
}

inline settle_publisher() {
  if
  :: intent_root != 0 ->
     g = intent_generation;
     if
     :: is_wrong(6) -> atomic { may_die(); intent_root = 0 }
     :: else
     fi;
     atomic {
       if
       :: generation == g && holds == P -> goto slabs
       :: generation != g && !is_wrong(5) -> goto clear
       :: else
       fi
     }
     r = 0;
     do
     :: r < 2 ->
        if
        :: has_bit(g, r) || (is_wrong(5) && ((holds >> r) & 1)) -> skip
        :: else -> goto there
        fi;
        if
        :: is_wrong(4) && held[r] == g -> goto there
        :: else
        fi;
        if
        :: lane[r] == g -> goto there
        :: else
        fi;
        if
        :: !is_wrong(3) && !is_wrong(4) && held[r] == g -> goto there
        :: else
        fi;
        if
        :: has_bit(g, r) || (is_wrong(5) && ((holds >> r) & 1)) -> skip
        :: else -> goto there
        fi;
        atomic {
          may_die();
          if
          :: !closed[r] && lane[r] == 0 -> lane[r] = (is_wrong(5) -> generation : g); goto there
          :: else
          fi
        }
        keep(g, r);
there:
        r++
     :: else -> break
     od;
slabs:
     skip;
clear:
     if
     :: is_wrong(5)
     :: else -> atomic { may_die(); intent_root = 0 }
     fi
  :: else
  fi;
  atomic {
    may_die();
    if
    :: holds == P && !orphan -> generation++; holds = 0
    :: else
    fi
  }
  atomic { may_die(); orphan = true }
  if
  :: is_wrong(5) -> atomic { may_die(); intent_root = 0 }
  :: else
  fi
}

inline settle_receiver() {
  atomic { may_die(); closed[0] = true }
  if
  :: lane[0] != 0 ->
     g = lane[0];
     if
     :: is_wrong(8) -> atomic { may_die(); lane[0] = 0 }
     :: else
     fi;
     keep(g, 0);
     atomic { may_die(); lane[0] = 0 }
  :: else
  fi;
  if
  :: held[0] != 0 ->
     g = held[0];
     keep(g, 0);
     atomic { may_die(); held[0] = 0 }
  :: else
  fi
}

/* Settles one death after the other; an unfinished one first. */
proctype recovery(byte me) {
  byte g, r, whose = 2;
end:
  do
  :: atomic { dead[0] && !orphan && whose == 2 -> whose = 0 }
     goto settle;
  :: atomic { dead[1] && !closed[0] && whose == 2 -> whose = 1 }
     goto settle;
settle:
     if
     :: whose == 0 -> settle_publisher()
     :: else -> settle_receiver()
     fi;
     atomic { whose = 2; g = 0; r = 0 }
     goto round;
killed:
     atomic { g = 0; r = 0 }
     goto settle;
round:
     skip
  od
}

init {
  byte g, r;
  atomic {
    if
    :: deaths[PUBLISHER] = 1
    :: skip
    fi;
    if
    :: deaths[DYING] = 1
    :: skip
    fi;
    deaths[SUPERVISOR] = CRASHES;
    run publisher(PUBLISHER, true);
    run adopter(ADOPTER, false);
    run receiver(DYING, 0);
    run receiver(LIVING, 1);
    run recovery(SUPERVISOR)
  }
  timeout;
  atomic {
    g = 1;
    do
    :: g <= LAST ->
       r = 0;
       do
       :: r < 2 ->
          assert(!handed[at(g, r)] || committed[g]);
          /* A bit that is left is a letter's. */
          assert(!has_bit(g, r) || letter[at(g, r)]);
          assert(!((committed[g] >> r) & 1) || handed[at(g, r)] || told[at(g, r)] || letter[at(g, r)]);
          r++
       :: else -> break
       od;
       g++
    :: else -> break
    od;
    assert(holds != P)
  }
}
