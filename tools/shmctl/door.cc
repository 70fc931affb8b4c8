#include "shmctl/door.h"

#include <unistd.h>

#include <algorithm>

#include "base/nearest_name.h"


namespace ripstop::shmctl {

namespace {

Error with_nearest_fabric(Error error, const Command& command) {
  if (error.code != Errc::NoSupervisor || !command.settings.socket.empty()) return error;
  const std::vector<std::string> fabrics = Inspector::fabric_names();
  if (fabrics.empty()) return error;
  const std::vector<std::string> near = base::nearest_names(command.settings.fabric, fabrics);
  std::string others;
  for (const std::string& name : near.empty() ? fabrics : near) {
    if (name == command.settings.fabric) continue;
    others += (others.empty() ? "" : " ") + ("--fabric " + name);
  }
  if (!others.empty())
    error.fix += (error.fix.empty() ? "there is: " : "\nor look at another: ") + others;
  return error;
}

}  // namespace

Result<Inspector> look_in(const Command& command) {
  auto inspector = Inspector::open({.fabric = command.settings.fabric,
                                    .socket = command.settings.socket,
                                    .timeout = std::chrono::milliseconds(500),
                                    .survive_lost_pages = true});
  if (!inspector) return with_nearest_fabric(inspector.error(), command);
  return inspector;
}

Result<Agent> go_in(const Command& command, Wait wait) {
  AgentOptions options;
  options.name = "shmctl-" + std::string(command.verb->name) + "-" + std::to_string(getpid());
  options.fabric = command.settings.fabric;
  options.socket = command.settings.socket;
  options.wait = wait;
  options.observer = true;
  auto agent = Agent::attach(std::move(options));
  if (!agent) return with_nearest_fabric(agent.error(), command);
  return agent;
}

Error with_nearest(Error error, std::string_view wanted, const std::vector<std::string>& names,
                   std::string_view see) {
  if (error.code != Errc::NotFound || !error.fix.empty()) return error;
  error.fix = base::did_you_mean(base::nearest_names(wanted, names));
  if (error.fix.empty()) error.fix = see;
  return error;
}

std::vector<std::string> agent_names(const Inspector& inspector) {
  std::vector<std::string> names;
  for (const AgentView& agent : inspector.agents()) names.push_back(agent.name);
  return names;
}

bool has_subscriber(const Inspector& inspector, const std::string& topic) {
  if (const auto view = inspector.topic(topic)) return !view->subscribers.empty();
  const std::vector<TopicView> patterns = inspector.patterns();
  return check_topic(topic) && std::any_of(patterns.begin(), patterns.end(), [&](const TopicView& pattern) {
           return pattern_matches(pattern.name, topic);
         });
}

std::vector<std::string> topic_names(const Inspector& inspector) {
  std::vector<std::string> names;
  for (const TopicView& topic : inspector.topics()) names.push_back(topic.name);
  return names;
}

std::string to_type(const Command& command, std::string_view rest) {
  std::string text = "shmctl ";
  if (!command.settings.socket.empty()) {
    text += "--socket " + command.settings.socket + " ";
  } else if (command.settings.fabric != "default") {
    text += "--fabric " + command.settings.fabric + " ";
  }
  return text + std::string(rest);
}

}  // namespace ripstop::shmctl
