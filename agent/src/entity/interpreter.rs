//! What an interpreter or virtual machine runs: the script, module, jar or main class in its arguments.
//!
//! Twenty services that are all called `python3` tell nobody anything. Pure; an argument list that fits no rule gives
//! `None`, and the caller names the process by its executable.

/// How one language's launcher reads its command line.
struct Launcher {
    /// File names of the executable; a trailing version (`python3.11`, `php8.2`) is ignored.
    names: &'static [&'static str],
    /// Options that take the next argument as their value.
    valued: &'static [&'static str],
    /// Options whose value names what runs: `-m` (Python), `-jar` (Java).
    naming: &'static [&'static str],
    /// Options after which there is no program file: code on the command line, a shell, a version.
    inline: &'static [&'static str],
    /// First words that only say "run what follows".
    verbs: &'static [&'static str],
}

const LAUNCHERS: &[Launcher] = &[
    Launcher {
        names: &["python", "pypy", "uv-python"],
        valued: &["-W", "-X", "--check-hash-based-pycs"],
        naming: &["-m"],
        inline: &["-c", "-"],
        verbs: &[],
    },
    Launcher {
        names: &["node", "nodejs"],
        valued: &["-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file", "--title"],
        naming: &[],
        inline: &["-e", "--eval", "-p", "--print", "-pe", "-i", "--interactive", "-"],
        verbs: &["inspect"],
    },
    Launcher {
        names: &["deno", "bun"],
        valued: &["-c", "--config", "--import-map", "-r", "--preload", "--cwd"],
        naming: &[],
        inline: &["-e", "--eval", "eval", "repl", "install", "test", "x"],
        verbs: &["run", "serve"],
    },
    Launcher {
        names: &["java"],
        valued: &[
            "-cp",
            "-classpath",
            "--class-path",
            "-p",
            "--module-path",
            "--upgrade-module-path",
            "--add-modules",
            "--add-exports",
            "--add-opens",
            "--add-reads",
            "--limit-modules",
            "--patch-module",
            "--source",
            "--enable-native-access",
        ],
        naming: &["-jar", "-m", "--module"],
        inline: &["-version", "--version"],
        verbs: &[],
    },
    Launcher { names: &["ruby", "jruby", "truffleruby"], valued: &["-I", "-r", "-C", "-E"], naming: &[], inline: &["-e", "-"], verbs: &[] },
    Launcher {
        names: &["php"],
        valued: &["-c", "-d", "-S", "-t", "-z", "--php-ini", "--define"],
        naming: &["-f", "-F", "--file"],
        inline: &["-r", "--run", "-a", "-i", "-B", "-R"],
        verbs: &[],
    },
    Launcher { names: &["perl"], valued: &["-I"], naming: &[], inline: &["-e", "-E", "-"], verbs: &[] },
    Launcher {
        names: &["dotnet"],
        valued: &["--runtimeconfig", "--depsfile", "--fx-version", "--additionalprobingpath", "--additional-deps"],
        naming: &[],
        inline: &["build", "run", "watch", "test", "publish", "restore", "tool"],
        verbs: &["exec"],
    },
    Launcher {
        names: &["sh", "bash", "dash", "ash", "zsh", "ksh"],
        valued: &["-o", "-O", "--rcfile", "--init-file"],
        naming: &[],
        inline: &["-c", "-s", "-"],
        verbs: &[],
    },
    Launcher {
        names: &["lua", "luajit", "Rscript", "tclsh", "guile", "racket", "escript"],
        valued: &["-l"],
        naming: &[],
        inline: &["-e", "-"],
        verbs: &[],
    },
];

/// Endings of program files that are no part of a name.
const ENDINGS: &[&str] = &[
    "py", "pyc", "pyz", "js", "mjs", "cjs", "ts", "mts", "cts", "tsx", "jar", "java", "war", "rb", "ru", "php", "phar", "pl", "psgi",
    "dll", "exe", "sh", "lua", "R", "tcl",
];

/// Whether `executable` (a file name) is an interpreter, so that its own name tells little.
#[must_use]
pub fn is_interpreter(executable: &str) -> bool {
    launcher(executable).is_some()
}

/// What the interpreter `executable` (a file name) runs by its arguments, `arguments[0]` being its own name.
///
/// The result is as it stands there: a path, a module, a class.
#[must_use]
pub fn program<'a>(executable: &str, arguments: &'a [String]) -> Option<&'a str> {
    let launcher = launcher(executable)?;
    let mut words = arguments.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        if launcher.inline.contains(&word) {
            return None;
        }
        if launcher.naming.contains(&word) {
            return words.next().filter(|name| !name.is_empty());
        }
        if launcher.valued.contains(&word) {
            words.next();
            continue;
        }
        if word.is_empty() || launcher.verbs.contains(&word) {
            continue;
        }
        match word.strip_prefix(['-', '@']) {
            // A login shell, options with attached values, Java's argument files.
            Some(option) => {
                if let Some(module) = option.strip_prefix('m').filter(|_| launcher.naming == ["-m"] && !word.starts_with("--")) {
                    return Some(module);
                }
            }
            None => return Some(word),
        }
    }
    None
}

fn launcher(executable: &str) -> Option<&'static Launcher> {
    let bare = executable.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    LAUNCHERS.iter().find(|launcher| launcher.names.contains(&bare) || launcher.names.contains(&executable))
}

/// Short name of a program: `/srv/shop/app.py` → `app`, `org.apache.kafka.Kafka` → `Kafka`, `http.server` stays.
#[must_use]
pub fn short_name<'a>(executable: &str, program: &'a str) -> &'a str {
    let file = program.rsplit('/').find(|part| !part.is_empty()).unwrap_or(program);
    if let Some((stem, ending)) = file.rsplit_once('.')
        && ENDINGS.contains(&ending)
        && !stem.is_empty()
    {
        return stem;
    }
    // A class is named by its last part, unless that is the one that half of all programs use.
    match file.rsplit_once('.') {
        Some((_, class)) if executable == "java" && !class.is_empty() && class != "Main" => class,
        _ => file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(line: &str) -> Option<String> {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let executable = arguments[0].rsplit('/').next().expect("a first word");
        program(executable, &arguments).map(|program| short_name(executable, program).to_owned())
    }

    #[test]
    fn the_program_is_found_behind_each_interpreters_options() {
        for (line, expected) in [
            ("python3 app.py --port 80", Some("app")),
            ("/usr/bin/python3.11 -u -W ignore -X dev /srv/shop/server.py", Some("server")),
            ("python3 -m http.server 8000", Some("http.server")),
            ("python -mflask run", Some("flask")),
            ("python3 /usr/local/bin/gunicorn shop.wsgi:app -w 4", Some("gunicorn")),
            ("python3 -c print(1)", None),
            ("python3", None),
            ("node server.js", Some("server")),
            ("node --require ./tracing.js --max-old-space-size=512 /app/dist/main.mjs", Some("main")),
            ("node -e 1", None),
            ("deno run --allow-net server.ts", Some("server")),
            ("bun index.ts", Some("index")),
            ("java -Xmx1g -cp /a.jar:/b.jar -Dx=y org.apache.kafka.Kafka server.properties", Some("Kafka")),
            ("java -javaagent:/otel.jar -jar /opt/shop-1.2.jar --spring", Some("shop-1.2")),
            ("java -cp /a.jar /srv/tools/Migrate.java 5", Some("Migrate")),
            ("java -m com.example/com.example.Main", Some("com.example.Main")),
            ("java @args com.example.Main", Some("com.example.Main")),
            ("java -version", None),
            ("ruby -I lib bin/worker.rb", Some("worker")),
            ("php -S 0.0.0.0:80 -t public router.php", Some("router")),
            ("php8.2 artisan serve", Some("artisan")),
            ("perl -I lib app.psgi", Some("app")),
            ("dotnet Shop.Api.dll --urls x", Some("Shop.Api")),
            ("dotnet exec --depsfile a.json Shop.dll", Some("Shop")),
            ("bash -e run.sh", Some("run")),
            ("sh -c sleep", None),
            ("nginx -g daemon", None),
        ] {
            assert_eq!(name(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn versions_do_not_hide_an_interpreter() {
        for yes in ["python3.12", "pypy3", "php-8.3", "ruby2.7", "node18", "lua5.4"] {
            assert!(is_interpreter(yes), "{yes}");
        }
        for no in ["php-fpm8.2", "nginx", "python-server", "postgres", ""] {
            assert!(!is_interpreter(no), "{no}");
        }
    }
}
