package main

import (
	"fmt"
	"strings"
	"time"
)

// Scenario is work that all peers are put to.
type Scenario struct {
	Name  string // what -run matches
	Title string // of its table
	Group string // of its chart
	Label string // in its chart
	Work  Work

	// Warm is the number of operations, or bytes, before those that count.
	// They also show how many those can be.
	Warm int64
	// Fixed: what counts is always that many. 0: as many as take a while.
	Fixed int64

	Metrics []Metric // the first is what the chart shows
}

// Measurement is what one trial gave.
type Measurement struct {
	N              int64 // operations or bytes
	Elapsed        time.Duration
	Server, Client Usage // used meanwhile

	Fresh, After, Answered Usage // of Idle: held by the server for N connections
}

// role returns the usage of the side that the library had.
func (m *Measurement) role(w Work) Usage {
	if w.serves() {
		return m.Server
	}
	return m.Client
}

// Metric is a figure of a trial.
type Metric struct {
	Name  string // with its unit
	Of    func(m *Measurement) float64
	Ratio bool   // to raw TCP means something
	More  bool   // is better; else less is
	Chart string // the end of its chart's name; empty: none, but for the first
}

const (
	gib = 1 << 30
	mib = 1 << 20
	kib = 1 << 10
)

// scale says how much is done.
type scale struct {
	full bool
	tiny bool // as little as shows that it works
	time time.Duration
}

func scenarios(sc scale) []*Scenario {
	var all []*Scenario
	add := func(s Scenario) {
		if sc.tiny && s.Warm != s.Fixed {
			s.Warm = s.Warm/50 + 1
		}
		all = append(all, &s)
	}
	for _, size := range []int{64, kib, 16 * kib} {
		for _, role := range []Role{AsServer, AsClient} {
			add(echoScenario(role, size, false))
		}
	}
	for _, api := range []API{Stream, Messages} {
		add(pipelinedScenario(api))
	}
	for _, size := range []int{32 * kib, mib} {
		for _, kind := range []Kind{Download, Upload} {
			for _, role := range []Role{AsServer, AsClient} {
				add(bulkScenario(kind, role, size, false))
			}
		}
	}
	add(fileScenario(sc))
	add(relayScenario())
	add(idleScenario(sc))
	for _, role := range []Role{AsServer, AsClient} {
		add(handshakeScenario(role))
	}
	for _, role := range []Role{AsServer, AsClient} {
		add(echoScenario(role, kib, true))
		for _, kind := range []Kind{Download, Upload} {
			add(bulkScenario(kind, role, 32*kib, true))
		}
	}
	for _, c := range []Compression{NoTakeover, ContextTakeover} {
		for _, conns := range []int{1, 64} {
			add(compressedScenario(c, conns))
		}
		add(compressedIdleScenario(sc, c))
	}
	return all
}

// sizeName is how sizes are written in names.
func sizeName(n int) string {
	switch {
	case n >= mib:
		return fmt.Sprintf("%dMiB", n/mib)
	case n >= kib:
		return fmt.Sprintf("%dKiB", n/kib)
	}
	return fmt.Sprintf("%dB", n)
}

// over is the prefix of names and groups.
func over(tls bool, name string) string {
	if tls {
		return "wss-" + name
	}
	return name
}

func echoScenario(role Role, size int, tls bool) Scenario {
	w := Work{Kind: Echo, Role: role, Size: size, Conns: 1, Depth: 1, TLS: tls}
	group := over(tls, "echo")
	return Scenario{
		Name:  fmt.Sprintf("%s/%s/%s", group, role, sizeName(size)),
		Title: fmt.Sprintf("Echo of %s over %s, %s side", sizeName(size), scheme(tls), role),
		Group: group, Label: fmt.Sprintf("%s %s", role, sizeName(size)),
		Work: w, Warm: 400,
		Metrics: []Metric{
			{Name: "µs/round trip", Ratio: true, Of: func(m *Measurement) float64 { return perOp(m.Elapsed, m.N) }},
			{Name: "CPU µs", Ratio: true, Of: func(m *Measurement) float64 { return perOp(m.role(w).CPU(), m.N) }},
			{Name: "allocs", Of: func(m *Measurement) float64 { return float64(m.role(w).Mallocs) / float64(m.N) }},
		},
	}
}

func scheme(tls bool) string {
	if tls {
		return "wss"
	}
	return "ws"
}

func pipelinedScenario(api API) Scenario {
	w := Work{Kind: Echo, Role: AsServer, API: api, Size: 128, Conns: 64, Depth: 16}
	calls := "Read and Write"
	if api == Messages {
		calls = "message calls"
	}
	return Scenario{
		Name:  fmt.Sprintf("pipelined/%s", api),
		Title: fmt.Sprintf("Pipelined echo through %s: %d connections, %d messages of %d B in flight on each", calls, w.Conns, w.Depth, w.Size),
		Group: "pipelined", Label: calls,
		Work: w, Warm: int64(w.Conns * w.Depth * 4),
		Metrics: []Metric{
			{Name: "messages/s", Ratio: true, More: true, Of: func(m *Measurement) float64 { return perSecond(m.N, m.Elapsed) }},
			{Name: "server CPU µs", Ratio: true, Chart: "cpu", Of: func(m *Measurement) float64 { return perOp(m.Server.CPU(), m.N) }},
			{Name: "allocs", Of: func(m *Measurement) float64 { return float64(m.Server.Mallocs) / float64(m.N) }},
		},
	}
}

func bulkScenario(kind Kind, role Role, size int, tls bool) Scenario {
	w := Work{Kind: kind, Role: role, Size: size, Conns: 1, TLS: tls}
	group := over(tls, "bulk")
	direction := "server to client"
	if kind == Upload {
		direction = "client to server"
	}
	return Scenario{
		Name:  fmt.Sprintf("%s/%s/%s/%s", group, kind, role, sizeName(size)),
		Title: fmt.Sprintf("Bulk from %s over %s in Writes of %s, %s side", direction, scheme(tls), sizeName(size), role),
		Group: group + "-" + sizeName(size), Label: fmt.Sprintf("%s: %s", kind, role),
		Work: w, Warm: 16 * mib,
		Metrics: []Metric{
			{Name: fmt.Sprintf("%s CPU s/GiB", role), Ratio: true, Of: func(m *Measurement) float64 { return perGiB(m.role(w).CPU(), m.N) }},
			{Name: "GiB/s", Ratio: true, More: true, Chart: "rate", Of: gibPerSecond},
		},
	}
}

func fileScenario(sc scale) Scenario {
	size := int64(256 * mib)
	switch {
	case sc.full:
		size = gib
	case sc.tiny:
		size = mib
	}
	return Scenario{
		Name:  "file",
		Title: fmt.Sprintf("A file of %s from the page cache to a client", sizeName(int(size))),
		Group: "file", Label: "file to client",
		Work:  Work{Kind: File, Role: AsServer, Size: 64 * kib, Conns: 1},
		Fixed: size, Warm: size,
		Metrics: []Metric{
			{Name: "server CPU s/GiB", Ratio: true, Of: func(m *Measurement) float64 { return perGiB(m.Server.CPU(), m.N) }},
			{Name: "GiB/s", Ratio: true, More: true, Of: gibPerSecond},
		},
	}
}

func relayScenario() Scenario {
	return Scenario{
		Name:  "relay",
		Title: "Relay of a TCP connection into unmasked frames",
		Group: "relay", Label: "TCP to client",
		Work: Work{Kind: Relay, Role: AsServer, Size: 64 * kib, Conns: 1},
		Warm: 16 * mib,
		Metrics: []Metric{
			{Name: "relay CPU s/GiB", Ratio: true, Of: func(m *Measurement) float64 { return perGiB(m.Server.CPU(), m.N) }},
			{Name: "GiB/s", Ratio: true, More: true, Of: gibPerSecond},
		},
	}
}

func idleScenario(sc scale) Scenario {
	n := idleCount(sc, 10000)
	return Scenario{
		Name:  "idle",
		Title: fmt.Sprintf("%d idle connections: bytes held by the server for each", n),
		Group: "idle", Label: "heap and stack",
		Work: Work{Kind: Idle, Role: AsServer, Size: 64, Conns: 16},
		Warm: 50, Fixed: n,
		Metrics: []Metric{
			{Name: "heap+stack, fresh", Ratio: true, Of: held(func(m *Measurement) uint64 { return m.Fresh.Heap + m.Fresh.Stack })},
			{Name: "after a message", Ratio: true, Chart: "after", Of: held(func(m *Measurement) uint64 { return m.After.Heap + m.After.Stack })},
			{Name: "after an answer", Ratio: true, Of: held(func(m *Measurement) uint64 { return m.Answered.Heap + m.Answered.Stack })},
			{Name: "heap", Of: held(func(m *Measurement) uint64 { return m.After.Heap })},
			{Name: "stack", Of: held(func(m *Measurement) uint64 { return m.After.Stack })},
			{Name: "RSS", Ratio: true, Of: held(func(m *Measurement) uint64 { return m.After.RSS })},
		},
	}
}

func idleCount(sc scale, full int64) int64 {
	switch {
	case sc.full:
		return full
	case sc.tiny:
		return 20
	}
	return full / 10
}

// held is what of gives for each connection.
func held(of func(m *Measurement) uint64) func(m *Measurement) float64 {
	return func(m *Measurement) float64 { return float64(of(m)) / float64(m.N) }
}

func compressedScenario(c Compression, conns int) Scenario {
	w := Work{Kind: Echo, Role: AsBoth, Size: kib, Conns: conns, Depth: 1, Compression: c}
	return Scenario{
		Name:  fmt.Sprintf("compressed/%s/%d", strings.ReplaceAll(string(c), " ", "-"), conns),
		Title: fmt.Sprintf("Echo of 1 KiB of JSON, compressed with %s, the library on both sides: connections: %d", c, conns),
		Group: "compressed", Label: fmt.Sprintf("%s, %d conns", c, conns),
		Work: w, Warm: 64 * int64(conns),
		Metrics: []Metric{
			{Name: "messages/s", More: true, Of: func(m *Measurement) float64 { return perSecond(m.N, m.Elapsed) }},
			{Name: "server CPU µs", Of: func(m *Measurement) float64 { return perOp(m.Server.CPU(), m.N) }},
			{Name: "allocs", Of: func(m *Measurement) float64 { return float64(m.Server.Mallocs) / float64(m.N) }},
		},
	}
}

func compressedIdleScenario(sc scale, c Compression) Scenario {
	n := idleCount(sc, 1000)
	return Scenario{
		Name:  "compressed-idle/" + strings.ReplaceAll(string(c), " ", "-"),
		Title: fmt.Sprintf("%d idle connections compressed with %s: bytes of heap held by the server for each", n, c),
		Group: "compressed-idle", Label: string(c),
		Work: Work{Kind: Idle, Role: AsBoth, Size: kib, Conns: 16, Compression: c},
		Warm: 50, Fixed: n,
		Metrics: []Metric{
			{Name: "after an answer", Of: held(func(m *Measurement) uint64 { return m.Answered.Heap })},
			{Name: "after a message", Of: held(func(m *Measurement) uint64 { return m.After.Heap })},
			{Name: "fresh", Of: held(func(m *Measurement) uint64 { return m.Fresh.Heap })},
		},
	}
}

func handshakeScenario(role Role) Scenario {
	w := Work{Kind: Handshake, Role: role, Conns: 8}
	title := "Handshakes, server side: accept, upgrade on net/http, close"
	name := "handshake"
	if role == AsClient {
		title = "Dials, client side: connect, handshake, close"
		name = "dial"
	}
	return Scenario{
		Name:  name,
		Title: title,
		Group: "handshake", Label: name,
		Work: w, Warm: 200,
		Metrics: []Metric{
			{Name: fmt.Sprintf("%s CPU µs", role), Ratio: true, Of: func(m *Measurement) float64 { return perOp(m.role(w).CPU(), m.N) }},
			{Name: "per second", Ratio: true, More: true, Of: func(m *Measurement) float64 { return perSecond(m.N, m.Elapsed) }},
			{Name: "allocs", Of: func(m *Measurement) float64 { return float64(m.role(w).Mallocs) / float64(m.N) }},
		},
	}
}

func perOp(d time.Duration, n int64) float64 {
	return float64(d) / float64(time.Microsecond) / float64(n)
}

func perGiB(d time.Duration, n int64) float64 { return d.Seconds() / (float64(n) / gib) }

func perSecond(n int64, d time.Duration) float64 { return float64(n) / d.Seconds() }

func gibPerSecond(m *Measurement) float64 { return perSecond(m.N, m.Elapsed) / gib }
