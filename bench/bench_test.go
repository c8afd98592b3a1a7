package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	switch role := Role(os.Getenv(processEnv)); role {
	case AsServer, AsClient:
		childMain(role)
	}
	os.Exit(m.Run())
}

// testPeers are all. nbio 1.6.8 races with itself (nbhttp.Engine.listen stores a
// Conn's address when its OnData may run already), so that it is tested without
// the race detector only; .ci/run does that as well.
func testPeers() *regexp.Regexp {
	if !raceEnabled {
		return regexp.MustCompile("")
	}
	var names []string
	for _, p := range peers {
		if p.Name != "nbio" {
			names = append(names, regexp.QuoteMeta(p.Name))
		}
	}
	return regexp.MustCompile("^(" + strings.Join(names, "|") + ")$")
}

func newTestRunner(t *testing.T, launch launcher) *runner {
	return &runner{
		scale: scale{tiny: true}, reps: 1, timeout: 20 * time.Second,
		run: regexp.MustCompile(""), peers: testPeers(),
		launch: launch, out: io.Discard, progress: io.Discard, dir: t.TempDir(),
	}
}

// TestScenarios has every peer do a little of every scenario, with both sides
// in this process.
func TestScenarios(t *testing.T) {
	for _, s := range newTestRunner(t, launchHere).selected() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			r := newTestRunner(t, launchHere)
			res, err := r.scenario(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			res.compute()
			for _, row := range res.Rows {
				for _, e := range row.Errors {
					t.Errorf("%s: %s", row.Peer.Name, e)
				}
				if row.Samples[0] == nil {
					continue
				}
				if len(row.Cells) != len(s.Metrics) {
					t.Errorf("%s: %d cells for %d metrics", row.Peer.Name, len(row.Cells), len(s.Metrics))
				}
			}
		})
	}
}

// TestProcesses runs the program, with processes of their own.
func TestProcesses(t *testing.T) {
	t.Setenv("GORACE", "atexit_sleep_ms=0") // else each process takes a second to end
	dir := t.TempDir()
	jsonFile, mdFile, svgDir := filepath.Join(dir, "o.json"), filepath.Join(dir, "o.md"), filepath.Join(dir, "svg")
	var out, errs bytes.Buffer
	err := run(t.Context(), []string{
		"-run", "^(echo/server/64B|bulk/upload/client/32KiB)$", "-peers", "^(walve|nbio)$", "-time", "1ms", "-reps", "2",
		"-json", jsonFile, "-md", mdFile, "-svg", svgDir,
	}, &out, &errs)
	if err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	for _, want := range []string{"µs/round trip", "walve", "nbio is left out: ", "2 scenarios in "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "failed") {
		t.Errorf("the output has a failure:\n%s", &out)
	}
	b, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Scenarios []struct {
			Name  string
			Peers []struct {
				Peer    string
				Metrics map[string]struct{ Ratio *Stat }
			}
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Scenarios) != 2 || len(got.Scenarios[0].Peers) != 3 {
		t.Fatalf("JSON has %+v", got)
	}
	if r := got.Scenarios[0].Peers[1].Metrics["µs/round trip"].Ratio; r == nil || r.N != 2 || r.Median <= 0 {
		t.Errorf("ratio of %s is %+v", got.Scenarios[0].Peers[1].Peer, r)
	}
	if b, err = os.ReadFile(mdFile); err != nil || !bytes.Contains(b, []byte("| walve | ")) {
		t.Errorf("Markdown: %v\n%s", err, b)
	}
	for _, name := range []string{"echo.svg", "bulk-32KiB.svg", "bulk-32KiB-rate.svg"} {
		if b, err = os.ReadFile(filepath.Join(svgDir, name)); err != nil || !bytes.Contains(b, []byte("<svg")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHang: a process that does not answer is given up and ended.
func TestHang(t *testing.T) {
	w, err := launchProcess(AsServer, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	req := request{Op: "start", Peer: "tcp", Work: Work{Kind: Upload, Role: AsServer, Size: 1}}
	if _, err := w.call(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	// It waits for bytes that nobody sends.
	w.timeout = time.Millisecond
	_, err = w.call(t.Context(), request{Op: "run", N: 1})
	if err == nil || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("run: %v", err)
	}
	if err := w.close(); err == nil {
		t.Error("close of a process that hangs: no error")
	}
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-run", "no such"}, "no scenario matches"},
		{[]string{"-run", "("}, "-run: "},
		{[]string{"-peers", "("}, "-peers: "},
		{[]string{"echo"}, "There are only flags"},
	} {
		err := run(t.Context(), tt.args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestFrameCounter(t *testing.T) {
	ping := []byte{0x89, 3, 'a', 'b', 'c'}
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 100000} {
		for _, masked := range []bool{false, true} {
			wire := append(wireMessage(payload(size), true, masked), ping...)
			wire = append(wire, wireMessage(payload(size), true, masked)...)
			for _, step := range []int{1, 2, 13, 4096, len(wire)} {
				var f frameCounter
				got := 0
				for b := wire; len(b) > 0; {
					k := min(step, len(b))
					n, err := f.count(b[:k])
					if err != nil {
						t.Fatal(err)
					}
					got += n
					b = b[k:]
				}
				if got != 2*size || f.left != 0 || f.n != 0 {
					t.Errorf("%d bytes, masked %t, %d at a time: %d counted", size, masked, step, got)
				}
			}
		}
	}
	var f frameCounter
	if _, err := f.count([]byte{0x88, 0}); err != errPeerClosed {
		t.Errorf("Close frame: %v", err)
	}
}

func TestStat(t *testing.T) {
	for _, tt := range []struct {
		values           []float64
		n                int
		median, min, max float64
	}{
		{nil, 0, 0, 0, 0},
		{[]float64{3}, 1, 3, 3, 3},
		{[]float64{3, 1, 2}, 3, 2, 1, 3},
		{[]float64{4, 1, 2, 3}, 4, 2.5, 1, 4},
		{[]float64{math.Inf(1), 1, math.NaN()}, 1, 1, 1, 1},
	} {
		s := newStat(tt.values)
		if s.N != tt.n || s.Median != tt.median || s.Min != tt.min || s.Max != tt.max {
			t.Errorf("%v: %+v", tt.values, s)
		}
	}
}

func TestAmount(t *testing.T) {
	bulk := &Scenario{Warm: 16 * mib, Work: Work{Kind: Upload, Size: 32 * kib}}
	if n := bulk.amount(10*time.Millisecond, 100*time.Millisecond); n != 160*mib {
		t.Errorf("bulk: %d", n)
	}
	if n := bulk.amount(7*time.Millisecond, 100*time.Millisecond); n%(32*kib) != 0 {
		t.Errorf("bulk: %d is not whole", n)
	}
	if n := bulk.amount(time.Second, time.Millisecond); n != 16*mib {
		t.Errorf("slow bulk: %d", n)
	}
	piped := &Scenario{Warm: 1, Work: Work{Kind: Echo, Conns: 4, Depth: 3}}
	if n := piped.amount(0, 0); n != 12 {
		t.Errorf("pipelined: %d", n)
	}
	dials := &Scenario{Warm: 200, Work: Work{Kind: Handshake}}
	if n := dials.amount(time.Millisecond, time.Hour); n != maxHandshakes {
		t.Errorf("handshakes: %d", n)
	}
}
