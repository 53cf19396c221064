# Prints, as JSON, what the Vagrantfile says to the providers named as arguments, or the settings
# that they do not know. Unlike `vagrant validate` it needs no VirtualBox to look at its block.
require "json"
require "vagrant"

environment = Vagrant::Environment.new
found = ARGV.to_h do |provider|
  machines = environment.machine_names.to_h do |name|
    config = environment.vagrantfile.machine_config(name, provider.to_sym, nil, nil, false)[:config]
    block = config.vm.get_provider_config(provider.to_sym)
    unknown = (block.instance_variable_get(:@__invalid_methods) || []).to_a
    # VirtualBox's memory and cpus are options of a command.
    size = provider == "virtualbox" ? block.customizations : [block.memory, block.cpus]
    [name, { box: config.vm.box, size: size, unknown: unknown }]
  end
  [provider, machines]
end
puts JSON.generate(found)
