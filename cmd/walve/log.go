package main

import (
	"context"
	"flag"
	"io"
	"log/slog"
)

// logFlags are those of the commands that run for long.
type logFlags struct {
	format  string
	verbose bool
}

func (f *logFlags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.format, "log", "text", "the `form` of the log on standard error: text, json or none")
	fs.BoolVar(&f.verbose, "v", false, "log every connection")
}

func (f *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	if f.verbose {
		opts.Level = slog.LevelDebug
	}
	switch f.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "none":
		return slog.New(slog.DiscardHandler), nil
	}
	return nil, usagef("-log %s: it is text, json or none", f.format)
}

// logError is a log line with what to try.
func logError(log *slog.Logger, level slog.Level, what string, err error, args ...any) {
	args = append(args, "error", message(err))
	if h := hint(err); h != "" {
		args = append(args, "try", h)
	}
	log.Log(context.Background(), level, what, args...)
}
