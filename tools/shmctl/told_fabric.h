// What is told of a fabric, its topics, its memory, its rings and its chunks.
#pragma once

#include "ripstop/inspect.h"
#include "shmctl/told.h"

namespace ripstop::shmctl {

const Telling<FabricView>& fabric_telling();

const Telling<LetterView>& letter_telling();  // A line of `dlq`.

const Telling<TopicView>& topic_row_telling();   // A line of `topics`.
const Telling<TopicView>& topic_full_telling();  // All of `show topic`.

// A size class with the node it lies on: a line of `segments`.
struct ClassOnNode {
  NodeView node;
  ClassView size_class;
};
const Telling<ClassOnNode>& segment_telling();
std::vector<ClassOnNode> classes_on_nodes(const std::vector<NodeView>& nodes);

const Telling<RingView>& ring_row_telling();   // A line of `show ring`.
const Telling<RingView>& ring_full_telling();  // All of `show ring X`.
const Telling<SlotView>& slot_telling();
const Telling<ChunkView>& chunk_telling();

// "0x" and 16 digits.
std::string hex_text(uint64_t word);

}  // namespace ripstop::shmctl
