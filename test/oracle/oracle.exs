# The other side of the oracle: carries out scenarios on Elixir and OTP, and prints their traces as JSON, a line each.
# Run by main.ts with a file of scenarios written as an Elixir literal. See scenario.ts for the language.

defmodule Plain do
  # A text of a scenario is an atom, a list a tuple.
  def term(text) when is_binary(text), do: String.to_atom(text)
  def term(list) when is_list(list), do: list |> Enum.map(&term/1) |> List.to_tuple()
  def term(other), do: other

  # And back: names for pids, marks for what differs between runs.
  def plain(value, names)
  def plain(nil, _), do: nil
  def plain(true, _), do: true
  def plain(false, _), do: false
  def plain(value, names) when is_pid(value), do: Map.get(names, value, "PID")
  def plain(value, _) when is_reference(value), do: "REF"
  def plain(value, _) when is_atom(value) do
    if value == node(), do: "NODE", else: value |> Atom.to_string() |> String.replace_prefix("Elixir.", "")
  end
  def plain(value, _) when is_binary(value) or is_number(value), do: value
  def plain(%{__exception__: true} = error, _), do: Exception.message(error)
  def plain(value, names) when is_tuple(value) do
    if tuple_size(value) > 3 and elem(value, 0) == :child, do: "CHILD", else: value |> Tuple.to_list() |> Enum.map(&plain(&1, names))
  end
  def plain([{module, function, _, location} | _], _) when is_atom(module) and is_atom(function) and is_list(location), do: "STACK"
  def plain(value, names) when is_list(value), do: Enum.map(value, &plain(&1, names))
  def plain(value, _) when is_map(value), do: "MAP"

  def json(nil), do: "null"
  def json(true), do: "true"
  def json(false), do: "false"
  def json(value) when is_number(value), do: to_string(value)
  def json(value) when is_list(value), do: "[" <> Enum.map_join(value, ",", &json/1) <> "]"
  def json(value) when is_binary(value), do: inspect(value, binaries: :as_strings, printable_limit: :infinity)
end

defmodule Server do
  use GenServer
  # {director, name, begin, options, supervised}
  def init({director, name, begin, options, supervised} = state) do
    count = :ets.update_counter(:oracle, {:starts, name}, 1, {{:starts, name}, 0})
    if options["trap"], do: Process.flag(:trap_exit, true)
    up = fn result ->
      :ets.insert(:oracle, {{:pid, name}, self()})
      if supervised, do: event(director, ["up", name])
      result
    end
    case begin do
      ["ignore"] -> :ignore
      ["stop", reason] -> {:stop, Plain.term(reason)}
      ["raise", text] -> raise text
      ["exit", reason] -> exit(Plain.term(reason))
      ["bad", value] -> Plain.term(value)
      ["ok_after", n, reason] -> if count > n, do: up.({:ok, state}), else: {:stop, Plain.term(reason)}
      ["ok_then", n, reason] -> if count == 1 or count > n + 1, do: up.({:ok, state}), else: {:stop, Plain.term(reason)}
      ["ok_continue", act] -> up.({:ok, state, {:continue, act}})
      ["ok_timeout", ms] -> up.({:ok, state, ms})
      ["ok"] -> up.({:ok, state})
    end
  end

  def event(director, event), do: send(director, {:"$event", event})

  def handle_call(act, _from, state) do
    case act do
      ["reply", value] -> {:reply, Plain.term(value), state}
      ["timeout", ms] -> {:reply, :ok, state, ms}
      ["continue", next] -> {:reply, :ok, state, {:continue, next}}
      ["stop_reply", reason, value] -> {:stop, Plain.term(reason), Plain.term(value), state}
      _ -> no_reply(act, state)
    end
  end
  def handle_cast(act, state), do: no_reply(act, state)
  def handle_continue(act, {director, name, _, _, _} = state) do
    event(director, ["continue", name])
    no_reply(act, state)
  end
  def handle_info(:timeout, {director, name, _, _, _} = state) do
    event(director, ["timeout", name])
    {:noreply, state}
  end
  def handle_info({:"$info", act}, {director, name, _, _, _} = state) do
    event(director, ["info", name])
    no_reply(act, state)
  end
  def handle_info(message, {director, name, _, _, _} = state) do
    event(director, ["info", name, message])
    {:noreply, state}
  end
  def terminate(reason, {director, name, _, options, _}) do
    event(director, ["terminate", name, reason])
    case options["terminate"] do
      ["raise", text] -> raise text
      ["exit", reason] -> exit(Plain.term(reason))
      _ -> :ok
    end
  end

  defp no_reply(act, state) do
    case act do
      ["stop", reason] -> {:stop, Plain.term(reason), state}
      ["bad", value] -> Plain.term(value)
      ["raise", text] -> raise text
      ["exit", reason] -> exit(Plain.term(reason))
      ["timeout", ms] -> {:noreply, state, ms}
      ["continue", next] -> {:noreply, state, {:continue, next}}
      ["noreply"] -> {:noreply, state}
    end
  end

  def start(director, name, begin, options, how) do
    opts = if options["name"], do: [name: String.to_atom(options["name"])], else: []
    result =
      case how do
        :start -> GenServer.start(Server, {director, name, begin, options, false}, opts)
        :start_link -> GenServer.start_link(Server, {director, name, begin, options, false}, opts)
      end
    case result do
      {:ok, pid} ->
        :ets.insert(:oracle, {{:pid, name}, pid})
        :ok
      other -> other
    end
  end

  def spec(director, child) do
    shutdown = child["shutdown"] || 1000
    %{
      id: String.to_atom(child["id"]),
      start: {GenServer, :start_link, [Server, {director, child["id"], child["begin"] || ["ok"], child, true}]},
      restart: String.to_atom(child["restart"] || "permanent"),
      shutdown: if(is_binary(shutdown), do: String.to_atom(shutdown), else: shutdown),
      significant: child["significant"] || false,
      type: :worker
    }
  end
end

defmodule Sup do
  @behaviour :supervisor
  def init({director, flags, children}) do
    {:ok,
     {%{
        strategy: String.to_atom(flags["strategy"] || "one_for_one"),
        intensity: Map.get(flags, "intensity", 3),
        period: Map.get(flags, "period", 5),
        auto_shutdown: String.to_atom(flags["auto"] || "never")
      }, Enum.map(children, &Server.spec(director, &1))}}
  end
end

defmodule Actor do
  def run(director), do: loop(%{director: director, seen: [], asked: nil, monitors: %{}})

  defp loop(%{asked: {ref, count}, seen: seen, director: director} = state) when length(seen) >= count do
    {given, rest} = Enum.split(seen, count)
    send(director, {:"$done", ref, given})
    loop(%{state | asked: nil, seen: rest})
  end
  defp loop(%{director: director, seen: seen} = state) do
    receive do
      {:"$seen", ref, count} -> loop(%{state | asked: {ref, count}})
      {:"$sync", ref, to} -> send(to, {:"$pass", ref}); loop(state)
      {:"$pass", ref} -> send(director, {:"$synced", ref}); loop(state)
      {:"$do", _ref, ["return", value]} -> Plain.term(value)
      {:"$do", _ref, ["throw", value]} -> throw(Plain.term(value))
      {:"$do", _ref, ["raise", text]} -> raise text
      {:"$do", _ref, ["die", reason]} -> exit(Plain.term(reason))
      {:"$do", ref, command} ->
        {result, state} = obey(command, state)
        send(director, {:"$done", ref, result})
        loop(state)
      other -> loop(%{state | seen: seen ++ [other]})
    end
  end

  defp obey(command, state) do
    try do
      case carry_out(command, state) do
        {:monitor, name, ref} -> {:ok, put_in(state.monitors[name], ref)}
        result -> {result, state}
      end
    rescue
      ArgumentError -> {{:error, :badarg}, state}
    catch
      :exit, reason ->
        reason = if String.starts_with?(hd(command), "task"), do: elem(reason, 0), else: reason
        {{:exit, reason}, state}
    end
  end

  defp pid(name), do: :ets.lookup_element(:oracle, {:pid, name}, 2)

  defp carry_out(command, %{director: director, monitors: monitors}) do
    case command do
      ["trap", on] -> Process.flag(:trap_exit, on)
      ["spawn", name, how] ->
        body = fn -> run(director) end
        started =
          case how do
            "plain" -> spawn(body)
            "link" -> spawn_link(body)
            "monitor" -> spawn_monitor(body) |> elem(0)
          end
        :ets.insert(:oracle, {{:pid, name}, started})
        :ok
      ["link", name] -> Process.link(pid(name))
      ["unlink", name] -> Process.unlink(pid(name))
      ["monitor", name] -> {:monitor, name, Process.monitor(pid(name))}
      ["monitor_name", name] -> {:monitor, name, Process.monitor(String.to_atom(name))}
      ["demonitor", name] -> Process.demonitor(monitors[name])
      ["demonitor_flush", name] -> Process.demonitor(monitors[name], [:flush])
      ["demonitor_info", name] -> Process.demonitor(monitors[name], [:info])
      ["exit", name, reason] -> Process.exit(pid(name), Plain.term(reason))
      ["send", name, value] -> send(pid(name), Plain.term(value))
      ["send_name", name, value] -> send(String.to_atom(name), Plain.term(value))
      ["register", name] -> Process.register(self(), String.to_atom(name))
      ["unregister", name] -> Process.unregister(String.to_atom(name))
      ["whereis", name] -> Process.whereis(String.to_atom(name))
      ["put", key, value] -> Process.put(Plain.term(key), Plain.term(value))
      ["get", key] -> Process.get(Plain.term(key))
      ["start_link", name, begin, options] -> Server.start(director, name, begin, options, :start_link)
      ["call", name, act, timeout] -> {:ok, GenServer.call(pid(name), act, timeout)}
      ["call_name", name, act] -> {:ok, GenServer.call(String.to_atom(name), act)}
      ["stop", name, reason] -> GenServer.stop(pid(name), Plain.term(reason))
      ["reg", key, value] -> registered(Registry.register(registry(:unique), key, value))
      ["reg_dup", key, value] -> registered(Registry.register(registry(:duplicate), key, value))
      ["unreg", key] -> Registry.unregister(registry(:unique), key)
      ["dup_unreg", key] -> Registry.unregister(registry(:duplicate), key)
      ["reg_lookup", key] -> Registry.lookup(registry(:unique), key)
      ["dup_lookup", key] -> Registry.lookup(registry(:duplicate), key) |> Enum.sort_by(&elem(&1, 1))
      ["reg_keys", _] -> Registry.keys(registry(:unique), self())
      ["task_await", what, term, timeout] -> {:ok, Task.await(task(what, term), timeout)}
      ["task_yield", what, term, timeout] -> Task.yield(task(what, term), timeout)
      ["task_shutdown", what, term, timeout] -> Task.shutdown(task(what, term), timeout)
    end
  end

  defp registered({:ok, _}), do: :ok
  defp registered(other), do: other

  defp registry(keys) do
    name = String.to_atom("oracle_#{keys}")
    if Process.whereis(name) == nil do
      {:ok, pid} = Registry.start_link(keys: keys, name: name)
      Process.unlink(pid)
    end
    name
  end

  defp task(what, term) do
    Task.async(fn ->
      case what do
        "value" -> Plain.term(term)
        "exit" -> exit(Plain.term(term))
        "raise" -> raise term
        "never" -> Process.sleep(:infinity)
      end
    end)
  end
end

defmodule Director do
  @patience 5000

  def run(%{"steps" => steps}) do
    :ets.new(:oracle, [:named_table, :public])
    Process.flag(:trap_exit, true)
    trace =
      steps
      |> Enum.with_index(1)
      |> Enum.map(fn {step, index} ->
        given =
          try do
            step(step)
          catch
            kind, reason ->
              throw("step #{index}, #{inspect(step)}: #{Exception.format(kind, reason, __STACKTRACE__)}")
          end
        [hd(step), Plain.plain(given, names())]
      end)
    for name <- [:oracle_unique, :oracle_duplicate], pid = Process.whereis(name), do: stop(pid)
    for {{:pid, _}, pid} <- :ets.tab2list(:oracle), do: stop(pid)
    :ets.delete(:oracle)
    trace
  end

  defp stop(pid) do
    ref = Process.monitor(pid)
    Process.exit(pid, :kill)
    receive do: ({:DOWN, ^ref, _, _, _} -> :ok)
  end

  defp names do
    for({{:pid, name}, pid} <- :ets.tab2list(:oracle), into: %{}, do: {pid, name}) |> Map.put(self(), "DIRECTOR")
  end

  defp pid(name), do: :ets.lookup_element(:oracle, {:pid, name}, 2)

  defp meet(name, pid) do
    :ets.insert(:oracle, {{:pid, name}, pid})
    watch(name)
  end

  defp watch(name), do: :ets.insert(:oracle, {{:monitor, name}, Process.monitor(pid(name))})

  defp started(name, {:ok, pid}), do: (meet(name, pid); :ok)
  defp started(_, other), do: other

  defp step(["actor", name]) do
    director = self()
    meet(name, spawn(fn -> Actor.run(director) end))
    :ok
  end
  defp step(["do", name, command]) do
    ref = make_ref()
    gone = Process.monitor(pid(name))
    send(pid(name), {:"$do", ref, command})
    if hd(command) in ["return", "throw", "raise", "die"] do
      :told
    else
      result =
        receive do
          {:"$done", ^ref, result} -> result
          {:DOWN, ^gone, _, _, _} -> :gone
        after
          @patience -> throw(:nothing_came)
        end
      Process.demonitor(gone, [:flush])
      if hd(command) in ["spawn", "start_link"] and :ets.member(:oracle, {:pid, Enum.at(command, 1)}), do: watch(Enum.at(command, 1))
      result
    end
  end
  defp step(["seen", name, count]) do
    ref = make_ref()
    send(pid(name), {:"$seen", ref, count})
    receive do: ({:"$done", ^ref, seen} -> seen), after: (@patience -> throw(:nothing_came))
  end
  defp step(["sync", from, to]) do
    ref = make_ref()
    send(pid(from), {:"$sync", ref, pid(to)})
    receive do: ({:"$synced", ^ref} -> :ok), after: (@patience -> throw(:nothing_came))
  end
  defp step(["down", name]) do
    ref = :ets.lookup_element(:oracle, {:monitor, name}, 2)
    receive do: ({:DOWN, ^ref, _, _, reason} -> reason), after: (@patience -> throw(:nothing_came))
  end
  defp step(["alive", name]), do: Process.alive?(pid(name))
  defp step(["server", name, begin, options]) do
    result = Server.start(self(), name, begin, options, :start)
    if result == :ok, do: watch(name)
    result
  end
  defp step(["cast", name, act]), do: GenServer.cast(pid(name), act)
  defp step(["info", name, act]), do: (send(pid(name), {:"$info", act}); :ok)
  defp step(["events", count]) do
    for _ <- 1..count//1 do
      receive do: ({:"$event", event} -> event), after: (@patience -> throw(:nothing_came))
    end
  end
  defp step(["sup", name, flags, children]), do: started(name, :supervisor.start_link(Sup, {self(), flags, children}))
  defp step(["which", name]) do
    for {id, child, type, _} <- :supervisor.which_children(pid(name)) do
      {id, if(is_pid(child), do: :pid, else: child), type}
    end
  end
  defp step(["count", name]) do
    counts = Supervisor.count_children(pid(name))
    {counts.specs, counts.active, counts.supervisors, counts.workers}
  end
  defp step(["start_child", name, child]), do: :supervisor.start_child(pid(name), Server.spec(self(), child))
  defp step(["terminate_child", name, id]), do: :supervisor.terminate_child(pid(name), String.to_atom(id))
  defp step(["restart_child", name, id]), do: :supervisor.restart_child(pid(name), String.to_atom(id))
  defp step(["delete_child", name, id]), do: :supervisor.delete_child(pid(name), String.to_atom(id))
  defp step([how, supervisor, id, reason]) when how in ["crash", "finish"] do
    child = pid(id)
    ref = Process.monitor(child)
    if how == "crash", do: Process.exit(child, Plain.term(reason)), else: GenServer.cast(child, ["stop", reason])
    down = receive do: ({:DOWN, ^ref, _, _, reason} -> reason), after: (@patience -> throw(:nothing_came))
    try do
      Supervisor.count_children(pid(supervisor))
    catch
      :exit, _ -> :ok
    end
    down
  end
  defp step(["stop_sup", name, reason]), do: Supervisor.stop(pid(name), Plain.term(reason))
  defp step(["dyn", name, flags]) do
    options = [strategy: :one_for_one, max_restarts: Map.get(flags, "intensity", 3), max_children: Map.get(flags, "max", :infinity)]
    started(name, DynamicSupervisor.start_link(options))
  end
  defp step(["dyn_start", name, child]), do: DynamicSupervisor.start_child(pid(name), Server.spec(self(), child))
  defp step(["dyn_terminate", name, child]), do: DynamicSupervisor.terminate_child(pid(name), pid(child))
end

Logger.configure(level: :none)
[file] = System.argv()
{scenarios, _} = Code.eval_file(file)
for scenario <- scenarios do
  director = Task.async(fn ->
    try do
      {:ok, Director.run(scenario)}
    catch
      :throw, problem -> {:problem, problem}
    end
  end)
  case Task.await(director, :infinity) do
    {:ok, trace} -> IO.puts(Plain.json([scenario["name"], trace]))
    {:problem, problem} ->
      IO.puts(:stderr, "#{scenario["name"]}: #{problem}")
      System.halt(1)
  end
end
