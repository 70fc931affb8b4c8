/* The holders of a message with a link: loaned, committed or aborted by its publisher, released by two receivers,
 * closed by the last of them or by whoever meets it. All are killed anywhere, and recovery too; both chunks are used
 * again at once, so that whoever is late meets another life.
 *
 * From: memory/holders.{h,cc}, control/settlement.cc (settle_slabs, is_committed, finish_closing), agent/fan_out.cc
 * (chain_links). What a chunk is linked with is plain memory: it is read in steps of its own.
 * Holds: while a receiver has the message, its link is that message's; when all is over every chunk is free.
 *
 * short  -DMESSAGES=2 -DCRASHES=1
 * long   -DMESSAGES=3 -DCRASHES=2
 *
 * wrong 1  the last release frees the root, then its link
 * wrong 2  the link is held only after the commit
 * wrong 3  recovery frees a dead publisher's links whether their root was committed or not
 * wrong 4  a link is freed without comparing whose it is
 * wrong 5  a helper does not look again whether the chunk is closing still
 * wrong 6  nobody finishes what is closing
 */
#include "kill.pml"

#define PUBLISHER 0
#define FIRST 1
#define SECOND 2
#define SUPERVISOR 3
byte deaths[4];

#define ROOT 0
#define LINK 1
#define P 4 /* The publisher's hold. */
#define C 8 /* Closing. */
#define L 16 /* Held by its root. */

byte generation[2] = 1;
byte holds[2];
byte link_of_root = 0; /* In the root's header: the link's generation. */
byte root_of_link = 0; /* In the link's: the root's. */

byte mail[2];          /* A committed message in each receiver's slot: its generation. */
byte sent = 0;
bool dead[3];
bool settled[3];
bool publisher_over = false;

#define is_life(chunk, g) (generation[chunk] == (g))
inline free(chunk, g) { generation[chunk] = (g) + 1; holds[chunk] = 0 }

/* free_link(): the link that a root of generation `g` names. */
inline free_link(g, linked) {
  if
  :: root_of_link == g || is_wrong(4) ->
     was = holds[LINK];
     atomic {
       may_die();
       if
       :: (is_life(LINK, linked) || is_wrong(4)) && holds[LINK] != 0 && holds[LINK] == was -> free(LINK, generation[LINK])
       :: else
       fi
     }
  :: else
  fi
}

/* release() of bit `self` in life `g`. */
inline release(g, self) {
  linked = link_of_root; /* Read before the swap: afterwards the chunk may be somebody else's. */
  atomic {
    may_die();
    if
    :: is_life(ROOT, g) && (holds[ROOT] & (1 << self)) && !(holds[ROOT] & C) ->
       if
       :: holds[ROOT] == (1 << self) && !is_wrong(1) -> holds[ROOT] = C
       :: holds[ROOT] == (1 << self) && is_wrong(1) -> free(ROOT, generation[ROOT])
       :: else -> holds[ROOT] = holds[ROOT] & ~(1 << self); linked = 0
       fi
    :: else -> linked = 0
    fi
  }
  if
  :: linked != 0 ->
     free_link(g, linked);
     atomic {
       may_die();
       if
       :: is_life(ROOT, g) && holds[ROOT] == C -> free(ROOT, g)
       :: else
       fi
     }
  :: else
  fi;
  linked = 0
}

inline finish_closing() {
  if
  :: holds[ROOT] == C ->
     g = generation[ROOT];
     linked = link_of_root;
     if
     :: (is_life(ROOT, g) && holds[ROOT] == C) || is_wrong(5) ->
        free_link(g, linked);
        atomic {
          may_die();
          if
          :: is_life(ROOT, g) && holds[ROOT] == C -> free(ROOT, g)
          :: else
          fi
        }
     :: else
     fi
  :: else
  fi;
  linked = 0;
  was = 0
}

proctype publisher(byte me) {
  byte g = 0, linked = 0, was = 0;
end:
  do
  :: atomic { deaths[me] > 0 -> deaths[me]--; goto killed }
  :: sent == MESSAGES -> break
  :: atomic { sent < MESSAGES && holds[ROOT] == 0 && mail[0] == 0 && mail[1] == 0 -> may_die(); sent++; holds[ROOT] = P; g = generation[ROOT] }
     atomic { holds[LINK] == 0 || deaths[me] > 0; may_die(); holds[LINK] == 0 -> holds[LINK] = P; linked = generation[LINK] }
     atomic { may_die(); root_of_link = g }
     atomic { may_die(); link_of_root = linked }
     if
     :: !is_wrong(2) -> atomic { may_die(); holds[LINK] = L }
     :: else
     fi;
     if
     :: atomic { may_die(); holds[ROOT] = 3; mail[0] = g; mail[1] = g } /* The commit; a push is intent.pml's. */
        if
        :: is_wrong(2) -> atomic { may_die(); holds[LINK] = L }
        :: else
        fi
     :: free_link(g, linked); /* Or it aborts. */
        atomic { may_die(); free(ROOT, g) }
     fi;
     atomic { g = 0; linked = 0; was = 0 }
  od;
  goto over;
killed:
  atomic { dead[0] = true; g = 0; linked = 0; was = 0 }
over:
  publisher_over = true
}

proctype receiver(byte me; byte self) {
  byte g = 0, linked = 0, was = 0;
end:
  do
  :: atomic { deaths[me] > 0 -> deaths[me]--; goto killed }
  :: mail[self] != 0 ->
     g = mail[self];
     atomic {
       assert(is_life(ROOT, g) && (holds[ROOT] & (1 << self)));
       assert(root_of_link == g && is_life(LINK, link_of_root) && (holds[LINK] == L || is_wrong(2)));
     }
     release(g, self);
     atomic { may_die(); mail[self] = 0; g = 0; was = 0 }
  od;
killed:
  atomic { dead[me] = true; g = 0; linked = 0; was = 0 }
}

proctype recovery(byte me) {
  byte g = 0, linked = 0, was = 0, whose = 9;
end:
  do
  :: atomic { whose == 9 && dead[PUBLISHER] && !settled[PUBLISHER] -> whose = PUBLISHER }
again_publisher:
     g = generation[ROOT];
     if
     :: holds[ROOT] == P ->
        atomic {
          may_die();
          if
          :: holds[ROOT] == P && is_life(ROOT, g) -> free(ROOT, g)
          :: else
          fi
        }
     :: else
     fi;
     atomic { linked = generation[LINK]; was = holds[LINK] }
     if
     :: was == P ||
        (was == L && (is_wrong(3) || !(root_of_link == generation[ROOT] && holds[ROOT] != 0 && holds[ROOT] != P))) ->
        atomic {
          may_die();
          if
          :: is_life(LINK, linked) && holds[LINK] == was -> free(LINK, linked)
          :: else
          fi
        }
     :: else
     fi;
     goto finish;
  :: atomic { whose == 9 && dead[FIRST] && !settled[FIRST] -> whose = FIRST }
again_receiver:
     if
     :: mail[0] != 0 ->
        g = mail[0];
        release(g, 0);
        atomic { may_die(); mail[0] = 0 }
     :: else
     fi;
finish:
     if
     :: !is_wrong(6) -> finish_closing()
     :: else
     fi;
     atomic {
       may_die();
       /* What is sent to the dead from now on is not: its slot is closed. */
       settled[whose] = true; whose = 9; g = 0; linked = 0; was = 0
     }
     goto round;
killed:
     atomic { g = 0; linked = 0; was = 0 }
     if
     :: whose == PUBLISHER -> goto again_publisher
     :: else -> goto again_receiver
     fi;
round:
     skip
  :: atomic { whose == 9 && settled[FIRST] && mail[0] != 0 -> settled[FIRST] = false } /* Mail for it: told `closed`, and released. */
  od
}

init {
  atomic {
    if
    :: deaths[PUBLISHER] = 1
    :: skip
    fi;
    if
    :: deaths[FIRST] = 1
    :: skip
    fi;
    deaths[SUPERVISOR] = CRASHES;
    run publisher(PUBLISHER);
    run receiver(FIRST, 0);
    run receiver(SECOND, 1);
    run recovery(SUPERVISOR)
  }
  timeout;
  assert(publisher_over);
  assert(holds[ROOT] == 0 && holds[LINK] == 0)
}
