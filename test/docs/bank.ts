import { type Call, GenServer, type GenServerModule, type Pid, Supervisor } from "simurgh/runtime";

type Calls = Call<"balance", number> | Call<readonly ["withdraw", number], number | "too_little">;
type Casts = readonly ["pay_in", number];

/** An account: one process, one state, one message at a time. */
const account: GenServerModule<number, number, Calls, Casts> = {
  init: (opening) => ["ok", opening],

  handleCall(request, _from, balance) {
    if (request === "balance") return ["reply", balance, balance];
    const [, amount] = request;
    return amount > balance
      ? ["reply", "too_little", balance]
      : ["reply", balance - amount, balance - amount];
  },

  handleCast: ([, amount], balance) => ["noreply", balance + amount],
};

export const Account = {
  /** A child of a supervisor, known by its name wherever it is started again. */
  childSpec: (name: string, opening: number) => ({
    id: name,
    start: [() => GenServer.startLink(account, opening, { name }), []] as const,
  }),
  balance: (name: string) => GenServer.call(name, "balance"),
  withdraw: (name: string, amount: number) => GenServer.call(name, ["withdraw", amount]),
  payIn: (name: string, amount: number) => GenServer.cast(name, ["pay_in", amount]),
};

export async function openBank(): Promise<Pid> {
  const started = await Supervisor.startLink([Account.childSpec("ann", 100), Account.childSpec("bob", 50)], {
    strategy: "one_for_one",
  });
  return started[1] as Pid;
}
