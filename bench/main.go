// Bench compares walve with raw TCP, raw TLS and other WebSocket libraries.
//
//	go run ./bench                        all scenarios, briefly: under a minute
//	go run ./bench -full                  the real run, 5 repetitions: about half an hour
//	go run ./bench -list                  the scenarios and the peers
//	go run ./bench -run 'echo/server' -peers '^(walve|gobwas)$' -reps 3
//
// Each trial has two fresh processes, a server and a client. One of them uses
// the library; the other is a counterpart that is the same for all and as
// cheap as can be, so that the ratio to raw TCP shows what that library costs
// in that role. Peers take turns, and a ratio is one of the same repetition.
// It runs on unix systems; RSS is measured on Linux.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"time"
)

func main() {
	switch role := Role(os.Getenv(processEnv)); role {
	case AsServer, AsClient:
		childMain(role)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

// Times of the part of a trial that counts, and of the steps at most.
const (
	quickTime    = 80 * time.Millisecond
	fullTime     = time.Second
	quickTimeout = 20 * time.Second
	fullTimeout  = 2 * time.Minute
)

// run is the program.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	full := flags.Bool("full", false, "the real run: longer, with 10,000 idle connections and a file of 1 GiB")
	list := flags.Bool("list", false, "list the scenarios and the peers, and do nothing")
	runs := flags.String("run", "", "`regexp` of the scenarios' names")
	only := flags.String("peers", "", "`regexp` of the peers' names; raw TCP and TLS always run")
	reps := flags.Int("reps", 0, "repetitions; 0: 5 with -full, else 1")
	took := flags.Duration("time", 0, "of what counts of a trial; 0: 1s with -full, else 80ms")
	jsonFile := flags.String("json", "", "write all values to `file`")
	mdFile := flags.String("md", "", "write Markdown tables to `file`")
	svgDir := flags.String("svg", "", "write bar charts to `directory`")
	verbose := flags.Bool("v", false, "say what is going on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("what is %q? There are only flags", flags.Arg(0))
	}

	r := &runner{
		scale: scale{full: *full, time: quickTime}, reps: 1, timeout: quickTimeout,
		launch: launchProcess, out: stdout, progress: io.Discard,
	}
	if *full {
		r.scale.time, r.reps, r.timeout = fullTime, 5, fullTimeout
	}
	if *reps > 0 {
		r.reps = *reps
	}
	if *took > 0 {
		r.scale.time = *took
	}
	if *verbose {
		r.progress = stderr
	}
	var err error
	if r.run, err = regexp.Compile(*runs); err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if r.peers, err = regexp.Compile(*only); err != nil {
		return fmt.Errorf("-peers: %w", err)
	}
	if len(r.selected()) == 0 {
		return fmt.Errorf("no scenario matches %q; -list shows them", *runs)
	}
	if *list {
		writeList(stdout, r.selected())
		return nil
	}
	if r.dir, err = os.MkdirTemp("", "walve-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)

	start := time.Now()
	results, err := r.all(ctx)
	fmt.Fprintf(stdout, "\n%d scenarios in %v\n", len(results), time.Since(start).Round(time.Second))
	command := strings.Join(append([]string{"go run ./bench"}, args...), " ")
	return errors.Join(err, writeFiles(newReport(command, r.reps, results), *jsonFile, *mdFile, *svgDir))
}

// writeFiles writes what was asked for.
func writeFiles(r *Report, jsonFile, mdFile, svgDir string) error {
	var errs []error
	for _, f := range []struct {
		name  string
		write func(io.Writer, *Report) error
	}{{jsonFile, writeJSON}, {mdFile, writeMarkdown}} {
		if f.name == "" {
			continue
		}
		file, err := os.Create(f.name)
		if err == nil {
			err = errors.Join(f.write(file, r), file.Close())
		}
		errs = append(errs, err)
	}
	if svgDir != "" {
		errs = append(errs, writeCharts(svgDir, r.Results))
	}
	return errors.Join(errs...)
}

func writeList(w io.Writer, scenarios []*Scenario) {
	for _, s := range scenarios {
		fmt.Fprintf(w, "%-28s %s\n", s.Name, s.Title)
	}
	fmt.Fprintln(w)
	for _, p := range peers {
		fmt.Fprintf(w, "%-16s %s\n", p.Name, p.Usage)
	}
}
