/* Supervisors: two that want to serve, of which one does while it lives; a death that it settles; it is killed
 * anywhere, or stopped for as long as anybody likes. The other one takes over what is left of the settling.
 *
 * From: daemon/supervisor/registry.cc (settle, take_over), control/endpoint.h, control/settlement.h; the lock is the
 * kernel's, held by who lives, stopped or not. The settling has four steps that others can see: DEAD, the route
 * without the agent, its rings closed and what lies there kept, FREE. Publishers send to whom the route names.
 * Holds: one supervisor writes at a time; an id is free only when nothing is left of its agent; what was sent is
 * kept, or its sender is told that nobody was there.
 *
 * short  -DSENDS=3 -DKILLS=2
 * long   -DSENDS=6 -DKILLS=4
 *
 * wrong 1  a supervisor serves without the lock
 * wrong 2  a stopped supervisor loses its lock
 * wrong 3  the id is free before the rings are empty
 * wrong 4  who takes over begins after the step that the table speaks of
 * wrong 5  a ring is drained, and not closed before
 * wrong 6  the id is free while the route names the agent
 */
#include "kill.pml"

#define OLD 0
#define NEW 1
#define SENDER 2
byte deaths[3];

#define LIVE 0
#define DEAD 1
#define FREE 2
byte state = LIVE;       /* The agent's entry. It is dead when the model begins. */
byte route = 1;          /* Which incarnation it names; 0: nobody. */
byte ring_owner = 1;     /* Incarnation that a push compares; 0: closed. */
byte lies = 0;           /* Messages in the ring, for the first one. */
byte kept = 0;
byte in_second = 0;
byte refused = 0;
byte sent = 0;
byte lock = 255;         /* Who has it; 255: nobody. */
byte writers = 0;
byte served = 0;
bool second_lives = false;

inline as_writer() {
  assert(lock == me)
}

proctype supervisor(byte me) {
  byte count = 0;
begin:
end:
  atomic {
    lock == 255 || is_wrong(1) || (is_wrong(2) && me == NEW);
    if
    :: second_lives -> goto out
    :: else
    fi;
    lock = me
  }
  if
  :: state == LIVE -> atomic { may_die(); as_writer(); state = DEAD }
  :: is_wrong(4) && state == DEAD -> goto free
  :: else
  fi;
  if
  :: state == DEAD ->
     if
     :: is_wrong(3) -> atomic { may_die(); as_writer(); route = 0; state = FREE }
     :: else
     fi;
     if
     :: !is_wrong(6) -> atomic { may_die(); as_writer(); route = 0 }
     :: else
     fi;
     if
     :: !is_wrong(5) -> atomic { may_die(); as_writer(); ring_owner = 0 }
     :: else
     fi;
     do
     :: lies > 0 -> atomic { may_die(); as_writer(); lies--; kept++ } /* A letter, then the slot: lane.pml. */
     :: lies == 0 -> break
     od;
free:
     atomic { may_die(); as_writer(); state = FREE; assert(lies == 0 && route == 0) }
  :: else
  fi;
  /* Another agent gets the id. */
  atomic { may_die(); as_writer(); assert(lies == 0); ring_owner = 2 }
  atomic { may_die(); as_writer(); second_lives = true; route = 2; state = LIVE }
  goto out;
killed:
  atomic {
    if
    :: lock == me -> lock = 255
    :: else
    fi;
    count++
  }
  goto begin; /* And started again. */
out:
  atomic {
    if
    :: lock == me -> lock = 255
    :: else
    fi
  }
}

proctype sender(byte me) {
  byte known = 0;
  do
  :: sent < SENDS ->
     known = route;
     atomic {
       sent++;
       if
       :: known == 0 || ring_owner != known -> refused++
       :: known == 1 && ring_owner == 1 -> lies++
       :: known == 2 && ring_owner == 2 -> in_second++
       fi
     }
  :: else -> break
  od
}

init {
  atomic {
    deaths[OLD] = KILLS;
    deaths[NEW] = KILLS;
    run supervisor(OLD);
    run supervisor(NEW);
    run sender(SENDER)
  }
  timeout;
  assert(second_lives && state == LIVE && lock == 255);
  assert(lies == 0 && kept + in_second + refused == SENDS)
}
