# What agents and tools say to the supervisor and its keeper, and what they answer: one flat message
# per packet of a Unix SOCK_SEQPACKET socket, at most 64 KiB; descriptors come beside it (SCM_RIGHTS).
# control/wire.h holds the same as C++ values and checks everything that comes in.

@0xbfa44cc0fe4539e7;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ripstop::control::schema");

struct Request {
  serial @0 :UInt64;  # The answer bears it too.

  union {
    attach :group {
      name @1 :Text;
      abi @2 :UInt32;
      layoutHash @3 :UInt64;
      node @4 :Int32;     # The fabric's node index, or -1: that of osNode.
      osNode @5 :UInt32;  # Where the caller runs, by the kernel's number.
      flags @6 :UInt32;   # layout::kAgentRemote, kAgentObserver.
      # The entry that this process has already, when it reconnects; 0: a new one.
      resumeAgentId @7 :UInt32;
      resumeIncarnation @8 :UInt64;
      resumeFabricId @29 :UInt64;
      # A request that comes again with the same ticket, because its answer was lost, gets the same
      # answer. Chosen by the caller, one for each request of an agent; 0: none. So below.
      ticket @30 :UInt64;
    }
    topic :group {
      name @9 :Text;
    }
    subscribe :group {
      topic @10 :Text;
      overflow @11 :UInt8;
      ownRing @12 :Bool;
      slotCount @13 :UInt32;  # 0: as the normal lane.
      row @14 :UInt32;        # In the agent's block.
      ticket @31 :UInt32;
    }
    unsubscribe :group {
      subscriptionId @15 :UInt32;
    }
    channelOpen :group {
      name @16 :Text;
      end @17 :UInt8;  # 0 sender, 1 receiver.
      payloadBytes @18 :UInt32;
      slotCount @19 :UInt32;
      ticket @32 :UInt32;
    }
    channelClose :group {
      ringId @20 :UInt32;
      end @21 :UInt8;
    }
    detach @22 :Void;
    observe @23 :Void;  # Read-only descriptors, without attaching. The keeper answers it too.
    status @24 :Void;
    drain @25 :Void;    # Administers: as SIGTERM.

    # Between supervisor and keeper. Descriptors, the bell last, come with keep; with the answer to adopt.
    keep @26 :List(UInt64);  # Bytes of the control segment, then of each node segment.
    adopt @27 :Void;
    end @28 :Void;

    letters :group {  # Administers: dead letters.
      action @33 :UInt8;   # 0 drop, 1 replay.
      serial @34 :UInt64;  # The letter's; 0: all.
    }

    # Between supervisor and keeper: processes of agents. The first two are answered if they bear a serial; as
    # many pidfds come with keepProcesses, and with the answer to fetchProcesses.
    keepProcesses @35 :List(Process);
    forgetProcess @36 :Process;
    fetchProcesses @37 :UInt32;  # Those of agents from this number on.
  }
}

struct Process {
  agentId @0 :UInt32;
  incarnation @1 :UInt64;
}

struct Reply {
  serial @0 :UInt64;

  union {
    error :group {
      code @1 :UInt16;
      sysErrno @2 :Int32;
      what @3 :Text;
      why @4 :Text;
      fix @5 :Text;
    }
    done @6 :Void;
    attached :group {  # Descriptors: the control segment read-only, the nodes' read-write, the bell.
      agentId @7 :UInt32;
      incarnation @8 :UInt64;
      nodeIndex @9 :UInt32;
      segmentBytes @10 :List(UInt64);  # As in Request.keep.
    }
    topic :group {
      id @11 :UInt32;
    }
    subscribed :group {
      subscriptionId @12 :UInt32;
      topicId @13 :UInt32;
      ringId @14 :UInt32;  # 0: the inbox.
    }
    channel :group {
      ringId @15 :UInt32;
      incarnation @16 :UInt64;
    }
    observed @17 :List(UInt64);  # As in Request.keep; descriptors as many, all read-only.
    status :group {
      pid @18 :UInt32;
      keeperPid @19 :UInt32;
      state @20 :UInt32;  # Superblock.state.
      epoch @21 :UInt64;
      agentCount @22 :UInt32;
      fabric @23 :Text;
      version @24 :Text;
    }
    count @25 :UInt32;
    processes @26 :List(Process);  # The next ones by number; none: that was all.
  }
}
