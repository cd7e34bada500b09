// Every word of the page, in English and in Chinese. A text is a string, or a function of what it tells.

const en = {
  skip: "Skip to the figures", controls: "View", api: "API", close: "Close",
  amount: "Amount today, yuan", orders: "Orders", average: "Average order, yuan",
  curve: "Amount by minute", final: "final", provisional: "provisional", ghost: "the day before",
  map: "Provinces", mapHint: "Choose a province for its cities", ranking: "Ranking",
  fresh: "How fresh", verdicts: "What did not count", corrections: "Corrected minutes", closed: "Closed report",
  pause: "Pause", resume: "Resume", table: "Table", chart: "Chart", language: "中文",
  theme: { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" },
  motion: { auto: "Motion: system", less: "Motion: less", full: "Motion: full" },
  yuan: "yuan", noOrders: "no orders yet", unknown: "unknown", never: "never",
  against: (delta, share, until) => `${delta} ${share ? `(${share}) ` : ""}against the day before, to ${until}`,
  nothingBefore: "no figures of the day before in this run",
  notAgainst: "nothing to compare yet",
  columns: {
    rank: "#", province: "Province", city: "City", orders: "Orders", amount: "Amount", share: "Share", delta: "Day before",
    users: "Users", hour: "Hour", minute: "Minute", state: "State", before: "Day before", when: "Seen", change: "Change",
    partition: "Partition", newest: "Newest record", watermark: "Watermark", lag: "Lag", unread: "Unread",
    verdict: "Verdict", records: "Records", hourly: "Last hour", kind: "Why",
  },
  shareNote: "Share of the country",
  states: {
    live: "Live", replay: "Replay", connecting: "Connecting", waiting: "Waiting", paused: "Paused",
    quiet: "Quiet shop", stalled: "Partition stalled", job_down: "Job down", job_restarting: "Job restarting",
    server: "Server down", log_silent: "Log silent", behind: "Behind", redis: "Redis gone", gone: "Screen server gone",
    no_run: "No run", run_unknown: "Run unknown",
  },
  notices: {
    quiet: (c, t) => `The shop is quiet: heartbeats come, but no order since ${c.since ? t.minute(c.since) : "the day began"}.`,
    stalled: (c, t) =>
      `No heartbeat reaches ${c.partitions.map((p) => `partition ${p.partition}` +
        (p.behind_s === null ? " (it is empty)" : ` (${t.span(p.behind_s)} behind)`)).join(", ")}: ` +
      "final minutes and watermark wait for it, and its orders are missing from the total.",
    job_down: (c) => `The dashboard's job is ${c.state}: the figures stand still, later orders are missing. samewater resume ${c.run}`,
    job_restarting: () => "The dashboard's job restarts: it goes on from its last checkpoint, later orders are missing until then.",
    server: (c) => `Nothing from ${c.server}: ${{
      kafka: "no newer orders come, and nothing is known of partitions and heartbeats.",
      "flink-realtime": "nothing is known of the job; the figures may stand still.",
      hbase: "report, verdicts, cities and publications are missing; minutes go on.",
    }[c.server]} (${c.says})`,
    log_silent: (c, t) => `Nothing has come since ${t.time(c.since)}, neither order nor heartbeat: the gateway is down, or a replay has ended.`,
    behind: (c, t) => `The figures are ${t.span(c.behind_s)} behind the log: ${t.whole(c.unread)} records are not counted yet.`,
    redis: (c, t) => `Redis${c.where ? ` (${c.where})` : ""} does not answer: the figures are those of ${t.wall(c.since)} and grow old; they go on by themselves. ${c.says}`,
    gone: (c, t) => `The screen's server does not answer: the figures are those of ${t.wall(c.since)} and grow old; the page tries again by itself.`,
    no_run: () => "No dashboard run is on the screen; start one: samewater submit realtime_dashboard",
    run_unknown: (c) => `Nothing is known of the job: ${c.says}`,
    spoilt: (c) => `${c.count} minutes in Redis are spoilt and missing here (${c.fields.join(", ")}): samewater reconcile names them.`,
    unequal: (c, t) => `The minutes add up to ${t.money(c.minutes)}, but the day's total in Redis says ${t.money(c.day)}: Redis lost data; samewater rebuild.`,
    lost: (c, t) => `${t.whole(c.minutes)} minutes with ${t.money(c.amount)} yuan were here and are gone from Redis: the total is short; samewater rebuild brings them back.`,
    report: (c) => `The report cannot be read: ${c.says}`,
    differs: (c, t) => `Up to ${t.minute(c.version)} the screen has ${t.money(c.screen)}, the report ${t.money(c.report)}: minutes are missing or wrong; samewater reconcile.`,
    paused: (c, t) => `Paused at ${t.wall(c.at)}: ${t.span(c.behind)} and ${t.whole(c.updates)} updates behind.`,
    fault: (c) => `A part of the screen failed (${c.part}: ${c.says}) and tries again; what it shows may be old. samewater logs screen`,
    stale: (c) => `This page could not show an update (${c.says}); reload it.`,
  },
  fresh_: {
    watermark: "Watermark", lag: "Event-time lag", final: "Final until", newest: "Newest order", ingest: "Newest record",
    unread: "Unread records", alerts: "Alerts", check: "Against the report", to: (at) => `to ${at}`,
    equal: "equal", differ: "differ", notYet: "not yet",
  },
  verdict: {
    late: "late", late_copy: "late copy", duplicate: "duplicate", malformed: "malformed", invalid: "invalid",
    future: "from the future", conflicting: "conflicting ids", accepted: "accepted", rejected: "rejected",
  },
  asOf: (at, run) => `as of ${at}`,
  noVersion: "No hourly version of this day yet.",
  noVerdicts: "No verdict counts yet.",
  kinds: { late: "late, counted", closed: "at closing" },
  correctionsSum: (n, amount, since) => `${n} since ${since}, ${amount} yuan in all`,
  noCorrections: "None yet.",
  closed_: {
    open: (day) => `${day}: provisional, no report is published`,
    published: "Published", version: "Version", run: "Run", by: "By", users: "Users", verdict: "Reconcile",
    whole: "the whole day", part: (at) => `to ${at} only`, equal: "equal", notEqual: "NOT EQUAL", nobody: "nobody has reconciled it",
    digest: "Digest", before: (n) => `${n} earlier`,
  },
  citiesOf: (as, run) => `Cities as of ${as}: they are counted by the hour. Run ${run}`,
  noCities: "No orders in this province as of that hour.",
  loading: "Reading …",
  below: (to) => `below ${to}`, from: (at) => `from ${at}`, none: "none",
  outside: (n, top, far, at) => `▲ ${n} ${n === 1 ? "minute" : "minutes"} beyond ${top}, farthest ${far} at ${at}`,
  whole: (amount) => `the day before came to ${amount}`,
  tile: (name, amount, orders) => `${name}: ${amount} yuan, ${orders} orders. Shows its cities`,
  chartLabel: (day, n) => `Amount by minute on ${day}, ${n} minutes with orders. The same as a table: the button before.`,
  spoken: (amount, orders, at) => `${at}: ${amount} yuan, ${orders} orders.`,
  run: (run, topic) => `Run ${run}${topic ? ` · topic ${topic}` : ""}`,
  age: (span) => `last update ${span} ago`,
  openHour: (hour) => `Minutes of ${hour}`,
  span: (s) => s < 1 ? "0 s" : s < 120 ? `${Math.floor(s)} s` : s < 7200 ? `${Math.floor(s / 60)} min` : s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} days`,
};

const zh = {
  skip: "跳到数据", controls: "显示", api: "接口", close: "关闭",
  amount: "今日成交额(元)", orders: "订单数", average: "客单价(元)",
  curve: "每分钟成交额", final: "已定", provisional: "暂定", ghost: "前一日",
  map: "省份", mapHint: "选择省份查看城市", ranking: "排名",
  fresh: "时效", verdicts: "未计入的记录", corrections: "修正的分钟", closed: "日结报表",
  pause: "暂停", resume: "继续", table: "表格", chart: "图表", language: "English",
  theme: { auto: "主题:系统", light: "主题:浅色", dark: "主题:深色" },
  motion: { auto: "动效:系统", less: "动效:减少", full: "动效:完整" },
  yuan: "元", noOrders: "尚无订单", unknown: "未知", never: "从未",
  against: (delta, share, until) => `${delta}${share ? `(${share})` : ""},与前一日截至 ${until} 相比`,
  nothingBefore: "本次运行没有前一日的数据",
  notAgainst: "暂无可比数据",
  columns: {
    rank: "#", province: "省份", city: "城市", orders: "订单", amount: "成交额", share: "占比", delta: "较前日",
    users: "用户", hour: "小时", minute: "分钟", state: "状态", before: "前一日", when: "发现于", change: "变化",
    partition: "分区", newest: "最新记录", watermark: "水位线", lag: "延迟", unread: "未读",
    verdict: "判定", records: "记录", hourly: "近一小时", kind: "原因",
  },
  shareNote: "占全国比例",
  states: {
    live: "实时", replay: "回放", connecting: "连接中", waiting: "等待数据", paused: "已暂停",
    quiet: "暂无新单", stalled: "分区停滞", job_down: "作业中断", job_restarting: "作业重启中",
    server: "服务中断", log_silent: "日志无声", behind: "落后", redis: "Redis 中断", gone: "大屏服务中断",
    no_run: "无运行", run_unknown: "运行未知",
  },
  notices: {
    quiet: (c, t) => `店铺安静:心跳正常,但自 ${c.since ? t.minute(c.since) : "当日开始"} 起没有订单。`,
    stalled: (c, t) =>
      `${c.partitions.map((p) => `分区 ${p.partition}` + (p.behind_s === null ? "(为空)" : `(落后 ${t.span(p.behind_s)})`)).join("、")} ` +
      "收不到心跳:已定分钟和水位线都在等它,其订单未计入总额。",
    job_down: (c) => `看板作业状态为 ${c.state}:数字停在原处,此后的订单未计入。samewater resume ${c.run}`,
    job_restarting: () => "看板作业正在重启:将从最近的检查点继续,此前到达的新订单暂未计入。",
    server: (c) => `${c.server} 没有数据:${{
      kafka: "没有更新的订单,分区与心跳情况未知。",
      "flink-realtime": "作业情况未知,数字可能停在原处。",
      hbase: "缺少报表、判定、城市和发布信息;分钟数据照常更新。",
    }[c.server]} (${c.says})`,
    log_silent: (c, t) => `自 ${t.time(c.since)} 起没有任何订单或心跳:网关中断,或回放已结束。`,
    behind: (c, t) => `数字落后日志 ${t.span(c.behind_s)}:尚有 ${t.whole(c.unread)} 条记录未计入。`,
    redis: (c, t) => `Redis${c.where ? `(${c.where})` : ""}没有响应:所示为 ${t.wall(c.since)} 的数字,正在变旧;恢复后自动继续。${c.says}`,
    gone: (c, t) => `大屏服务没有响应:所示为 ${t.wall(c.since)} 的数字,正在变旧;页面会自动重试。`,
    no_run: () => "大屏上没有看板运行;请启动:samewater submit realtime_dashboard",
    run_unknown: (c) => `作业情况未知:${c.says}`,
    spoilt: (c) => `Redis 中有 ${c.count} 个分钟已损坏,此处缺失(${c.fields.join("、")});samewater reconcile 可列出。`,
    unequal: (c, t) => `各分钟之和为 ${t.money(c.minutes)},而 Redis 中的日总额为 ${t.money(c.day)}:Redis 丢失了数据;请运行 samewater rebuild。`,
    lost: (c, t) => `${t.whole(c.minutes)} 个分钟共 ${t.money(c.amount)} 元曾在此显示,现已从 Redis 消失:总额偏低;samewater rebuild 可恢复。`,
    report: (c) => `无法读取报表:${c.says}`,
    differs: (c, t) => `截至 ${t.minute(c.version)},大屏为 ${t.money(c.screen)},报表为 ${t.money(c.report)}:有分钟缺失或错误;请运行 samewater reconcile。`,
    paused: (c, t) => `已于 ${t.wall(c.at)} 暂停:落后 ${t.span(c.behind)}、${t.whole(c.updates)} 次更新。`,
    fault: (c) => `大屏的一部分出错(${c.part}:${c.says}),正在重试;其内容可能已旧。samewater logs screen`,
    stale: (c) => `页面未能显示一次更新(${c.says});请刷新。`,
  },
  fresh_: {
    watermark: "水位线", lag: "事件时间延迟", final: "已定至", newest: "最新订单", ingest: "最新记录",
    unread: "未读记录", alerts: "告警", check: "与报表核对", to: (at) => `截至 ${at}`,
    equal: "分毫不差", differ: "不一致", notYet: "尚未",
  },
  verdict: {
    late: "迟到", late_copy: "迟到副本", duplicate: "重复", malformed: "格式错误", invalid: "字段无效",
    future: "时间超前", conflicting: "订单号冲突", accepted: "计入", rejected: "拒绝",
  },
  asOf: (at) => `截至 ${at}`,
  noVersion: "当日尚无小时版本。",
  noVerdicts: "尚无判定统计。",
  kinds: { late: "迟到但计入", closed: "结算时" },
  correctionsSum: (n, amount, since) => `自 ${since} 起 ${n} 次,合计 ${amount} 元`,
  noCorrections: "暂无。",
  closed_: {
    open: (day) => `${day}:暂定,尚未发布报表`,
    published: "发布于", version: "版本", run: "运行", by: "发布者", users: "用户", verdict: "对账",
    whole: "全天", part: (at) => `仅至 ${at}`, equal: "一致", notEqual: "不一致", nobody: "尚未对账",
    digest: "摘要", before: (n) => `此前 ${n} 个`,
  },
  citiesOf: (as, run) => `城市数据截至 ${as}(按小时统计)。运行 ${run}`,
  noCities: "截至该小时,本省没有订单。",
  loading: "读取中……",
  below: (to) => `${to} 以下`, from: (at) => `${at} 起`, none: "无",
  outside: (n, top, far, at) => `▲ ${n} 个分钟超出 ${top},最远 ${far}(${at})`,
  whole: (amount) => `前一日全天 ${amount}`,
  tile: (name, amount, orders) => `${name}:${amount} 元,${orders} 单。查看城市`,
  chartLabel: (day, n) => `${day} 每分钟成交额,共 ${n} 个有订单的分钟。前面的按钮可切换为表格。`,
  spoken: (amount, orders, at) => `${at}:成交额 ${amount} 元,订单 ${orders}。`,
  run: (run, topic) => `运行 ${run}${topic ? ` · 主题 ${topic}` : ""}`,
  age: (span) => `最近更新于 ${span}前`,
  openHour: (hour) => `${hour} 的各分钟`,
  span: (s) => s < 1 ? "0 秒" : s < 120 ? `${Math.floor(s)} 秒` : s < 7200 ? `${Math.floor(s / 60)} 分钟` : s < 172800 ? `${Math.floor(s / 3600)} 小时` : `${Math.floor(s / 86400)} 天`,
};

export const chinese = () => document.documentElement.lang.startsWith("zh");

/** The words of the language that the page has now. */
export const words = () => (chinese() ? zh : en);

/** Fill in every element that names a text. */
export function translate() {
  for (const element of document.querySelectorAll("[data-i18n]")) element.textContent = words()[element.dataset.i18n];
  for (const element of document.querySelectorAll("[data-i18n-label]"))
    element.setAttribute("aria-label", words()[element.dataset.i18nLabel]);
}
