// The nouns, one file each.
#pragma once

#include "cli/command.h"
#include "cli/completion.h"

namespace phonepki::cli {

Command CaCommand();
Command PluginCommand();
Command ConnectorCommand();
Command LocationCommand();
Command DeviceCommand();
Command DeploymentCommand();
Command RolloutCommand();
Command JobCommand();
Command CertificateCommand();
// import, activate and delete of "phonepki certificate".
std::vector<Command> ManualDeploymentCommands();
Command PolicyCommand();
Command SecureModeCommand();
Command EnrolCommand();  // a verb of it
Command StatusCommand();
Command CompletionCommand();

// All of them under "phonepki".
Command RootCommand();

// For shell completion.
std::vector<Candidate> ResourceNames(Session& session, Complete kind);

}  // namespace phonepki::cli
