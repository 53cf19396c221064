# A Vagrant provider whose machines are the project's own boxes, for tests. It is loaded from
# $VAGRANT_HOME/Vagrantfile, so that the project's Vagrantfile is used as it is. A machine's name
# is the system of its box. Memory, processors and forwarded ports mean nothing to it.
require "json"
require "securerandom"

module NspawnBoxes
  Builtin = Vagrant::Action::Builtin

  def self.boxes(*words)
    command = [ENV.fetch("MLOPS_TEST_PYTHON"), File.join(__dir__, "boxes.py"), *words]
    done = Vagrant::Util::Subprocess.execute(*command)
    raise Failed, done.stderr unless done.exit_code.zero?

    done.stdout.strip
  end

  class Failed < Vagrant::Errors::VagrantError
    def initialize(message)
      @said = message
      super()
    end

    def error_message
      @said
    end
  end

  class Provider < Vagrant.plugin("2", :provider)
    def initialize(machine)
      @machine = machine
    end

    def state
      now = @machine.id ? NspawnBoxes.boxes("state", @machine.id).to_sym : :not_created
      Vagrant::MachineState.new(now, now.to_s.tr("_", " "), "A box of systemd-nspawn.")
    end

    def ssh_info
      return unless state.id == :running

      JSON.parse(NspawnBoxes.boxes("login", @machine.id), symbolize_names: true)
    end

    def action(name)
      NspawnBoxes.respond_to?(name) ? NspawnBoxes.public_send(name) : nil
    end
  end

  START = lambda do |env|
    machine = env[:machine]
    # Noted before it is made: a killed `up` leaves something that `destroy` finds.
    machine.id ||= "vagrant-#{SecureRandom.hex(3)}"
    NspawnBoxes.boxes("up", machine.id, machine.name.to_s)
  end
  HALT = ->(env) { NspawnBoxes.boxes("halt", env[:machine].id) if env[:machine].id }
  REMOVE = lambda do |env|
    NspawnBoxes.boxes("down", env[:machine].id) if env[:machine].id
    env[:machine].id = nil
  end

  def self.chain(*steps)
    Vagrant::Action::Builder.new.tap { |builder| steps.each { |step| builder.use(*step) } }
  end

  class << self
    def up
      chain(Builtin::ConfigValidate, Builtin::Provision, START, Builtin::WaitForCommunicator)
    end

    def provision
      chain(Builtin::ConfigValidate, Builtin::Provision)
    end

    def halt
      chain(HALT)
    end

    def reload
      chain(Builtin::ConfigValidate, HALT, up)
    end

    def destroy
      chain(REMOVE, Builtin::ProvisionerCleanup)
    end

    def ssh
      chain(Builtin::SSHExec)
    end

    def ssh_run
      chain(Builtin::SSHRun)
    end
  end

  class Plugin < Vagrant.plugin("2")
    name "nspawn"
    provider(:nspawn, box_optional: true) { Provider }
  end
end
