// What is told of agents, their lanes, publishers and subscriptions.
#pragma once

#include "ripstop/inspect.h"
#include "shmctl/listing.h"
#include "shmctl/told.h"

namespace ripstop::shmctl {

const Telling<AgentView>& agent_row_telling();   // A line of `agents`.
const Telling<AgentView>& agent_full_telling();  // All of `show agent`.
const Telling<LaneView>& lane_telling();
const Telling<PublisherView>& publisher_telling();
const Telling<SubscriptionView>& subscription_telling();

// The agents, judged. When one look leaves open whether somebody is stuck or thinking, a second is
// taken 60 ms later.
std::vector<AgentView> judged_agents(const Inspector& inspector);
void judge_again(const Inspector& inspector, std::vector<AgentView>& agents);

// The tone of a cell of a row that has a "state".
Tone health_tone(const JsonValue& row, const Field& field);
Tone tone_of(Health health);

}  // namespace ripstop::shmctl
