package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is all that a run gave.
type Report struct {
	Command  string            `json:"command"`
	Date     time.Time         `json:"date"`
	Reps     int               `json:"repetitions"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Results  []*Result         `json:"-"`
}

// Machine is what it ran on.
type Machine struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel,omitempty"`
	CPU    string `json:"cpu,omitempty"`
	Cores  int    `json:"cores"`
	Go     string `json:"go"`
}

func newReport(command string, reps int, results []*Result) *Report {
	r := &Report{Command: command, Date: time.Now().UTC().Truncate(time.Second), Reps: reps, Results: results}
	r.Machine = Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version()}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		r.Machine.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				r.Machine.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	r.Versions = versions()
	return r
}

// versions returns those of the modules that are compared.
func versions() map[string]string {
	v := make(map[string]string)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, d := range info.Deps {
		switch d.Path {
		case "github.com/gorilla/websocket", "github.com/coder/websocket", "github.com/gobwas/ws", "github.com/lxzan/gws",
			"github.com/lesismal/nbio", "golang.org/x/net":
			v[d.Path] = d.Version
		}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v["github.com/bodokaiser/walve"] = s.Value
		}
	}
	return v
}

// jsonResult is a Result as it is written.
type jsonResult struct {
	Name    string    `json:"name"`
	Title   string    `json:"title"`
	Work    Work      `json:"work"`
	Rows    []jsonRow `json:"peers"`
	LeftOut []LeftOut `json:"leftOut,omitempty"`
}

type jsonRow struct {
	Peer    string              `json:"peer"`
	Metrics map[string]jsonCell `json:"metrics"`
	Errors  []string            `json:"errors,omitempty"`
}

type jsonCell struct {
	Value Stat  `json:"value"`
	Ratio *Stat `json:"ratio,omitempty"`
}

// writeJSON writes all values, of each repetition.
func writeJSON(w io.Writer, r *Report) error {
	all := struct {
		*Report
		Scenarios []jsonResult `json:"scenarios"`
	}{Report: r}
	for _, res := range r.Results {
		j := jsonResult{Name: res.Scenario.Name, Title: res.Scenario.Title, Work: res.Scenario.Work, LeftOut: res.LeftOut}
		j.Work.Path = ""
		for _, row := range res.Rows {
			jr := jsonRow{Peer: row.Peer.Name, Metrics: make(map[string]jsonCell), Errors: row.Errors}
			for i, c := range row.Cells {
				cell := jsonCell{Value: c.Value}
				if c.Ratio.N > 0 {
					cell.Ratio = &c.Ratio
				}
				jr.Metrics[res.Scenario.Metrics[i].Name] = cell
			}
			j.Rows = append(j.Rows, jr)
		}
		all.Scenarios = append(all.Scenarios, j)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "\t")
	return enc.Encode(all)
}

// table returns the cells of a scenario's table, the header first.
func (r *Result) table() [][]string {
	head := []string{""}
	for _, m := range r.Scenario.Metrics {
		head = append(head, m.Name)
		if m.Ratio {
			head = append(head, "× "+r.rawName())
		}
	}
	rows := [][]string{head}
	for _, row := range r.Rows {
		line := []string{row.Peer.Name}
		for i, m := range r.Scenario.Metrics {
			c := row.Cells[i]
			line = append(line, number(c.Value))
			if m.Ratio {
				line = append(line, ratio(c.Ratio))
			}
		}
		rows = append(rows, line)
	}
	return rows
}

func (r *Result) rawName() string {
	if r.Scenario.Work.TLS {
		return tlsPeer.Name
	}
	return tcpPeer.Name
}

// notes are the lines below a table.
func (r *Result) notes() []string {
	var notes []string
	for _, l := range r.LeftOut {
		notes = append(notes, fmt.Sprintf("%s is left out: %s.", l.Peer, l.Reason))
	}
	for _, row := range r.Rows {
		for _, e := range row.Errors {
			notes = append(notes, fmt.Sprintf("%s failed: %s.", row.Peer.Name, strings.ReplaceAll(e, "\n", "; ")))
		}
	}
	return notes
}

// number writes a median with three digits.
func number(s Stat) string {
	if s.N == 0 {
		return "-"
	}
	v := s.Median
	switch a := math.Abs(v); {
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// ratio writes a median and, of several, the spread in percent.
func ratio(s Stat) string {
	switch s.N {
	case 0:
		return "-"
	case 1:
		return fmt.Sprintf("%.2f", s.Median)
	}
	return fmt.Sprintf("%.2f ±%.0f%%", s.Median, 100*s.Spread())
}

// writeTable writes a result for a terminal.
func writeTable(w io.Writer, r *Result) {
	fmt.Fprintf(w, "\n%s  [%s]\n", r.Scenario.Title, r.Scenario.Name)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range r.table() {
		fmt.Fprintln(tw, strings.Join(line, "\t"))
	}
	tw.Flush()
	for _, n := range r.notes() {
		fmt.Fprintln(w, n)
	}
}

// writeMarkdown writes the machine, the command and all tables.
func writeMarkdown(w io.Writer, r *Report) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "Machine: %s, %d cores, %s/%s %s, %s.\n", m.CPU, m.Cores, m.OS, m.Arch, m.Kernel, m.Go)
	fmt.Fprintf(&b, "Command: `%s`, %s, %d repetitions.\n", r.Command, r.Date.Format(time.DateOnly), r.Reps)
	b.WriteString("Figures are medians; × is the ratio to raw TCP, or raw TLS, in the same repetition, ± half of what lies between the extremes.\n")
	for _, res := range r.Results {
		fmt.Fprintf(&b, "\n### %s\n\n", res.Scenario.Title)
		for i, line := range res.table() {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(line, " | "))
			if i == 0 {
				b.WriteString("|---|" + strings.Repeat("--:|", len(line)-1) + "\n")
			}
		}
		for _, n := range res.notes() {
			fmt.Fprintf(&b, "\n%s\n", n)
		}
	}
	b.WriteString("\n### How each is used\n\n| | version | |\n|---|---|---|\n")
	for _, p := range peers {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", p.Name, r.Versions[p.Module], p.Usage)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
