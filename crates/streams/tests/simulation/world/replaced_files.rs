//! What happens to files: restored, copied, deleted.

use super::*;

impl World {
    pub(super) fn restore(&mut self, backup: usize, how: Restore) {
        let (index, from) = self.backups[backup].clone();
        self.faults += 1;
        self.replace(index, |mut database| match how {
            Restore::Closed => {
                let path = database.path.clone();
                database.close();
                std::fs::copy(&from, &path).expect("the file can be copied");
                files::open(&path)
            }
            Restore::Open => {
                let source = rusqlite::Connection::open(&from).expect("the backup opens");
                let backup = Backup::new(&source, &mut database.host).expect("a backup can be restored");
                backup.run_to_completion(1000, Duration::ZERO, None).expect("a backup is restored");
                drop(backup);
                database
            }
        });
    }

    pub(super) fn copy(&mut self, database: usize, how: Copying, neighbours: [usize; 2]) {
        let path = self.new_path();
        let source = self.database(database);
        match how {
            Copying::File => drop(std::fs::copy(&source.path, &path).expect("the file can be copied")),
            Copying::VacuumInto => source.run(&format!("VACUUM INTO '{}'", path.display())),
        }
        self.faults += 1;
        let copy = self.databases.len();
        for neighbour in neighbours {
            let link = (neighbour % copy, copy);
            if !self.links.contains(&link) {
                self.links.push(link);
            }
        }
        self.databases.push(Some(files::open(&path)));
    }

    pub(super) fn wipe(&mut self, database: usize, keeps_id: bool) {
        self.faults += 1;
        let new_id = self.new_id();
        let mut gone = Vec::new();
        self.replace(database, |database| {
            let (path, old_id) = (database.path.clone(), database.site());
            database.close();
            gone.push(old_id);
            std::fs::remove_file(&path).expect("the file can be deleted");
            files::create(&path, files::Schema::New, if keeps_id { old_id } else { new_id })
        });
        self.gone.extend(gone);
    }
}
